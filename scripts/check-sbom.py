#!/usr/bin/env python3
"""Does a document hold to the schema of CycloneDX 1.5? scripts/check-sbom.py build/portcullis.cdx.json

With the schema and the checker of CycloneDX's own library, which scripts/cyclonedx gets: it must be on PYTHONPATH.
"""

import pathlib
import sys

from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    validator = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_5)
    fault = validator.validate_str(pathlib.Path(sys.argv[1]).read_text())
    if fault:
        sys.exit(f"{sys.argv[1]}: {fault}")


main()

//! How is `remoteJWKS` read?

use std::rc::Rc;

use super::call::{HOUR, MILLISECOND, cluster, duration, url};
use super::shapes;
use crate::document::Field;
use crate::guards::identity::jwt::remote::Source;
use crate::guards::identity::jwt::remote::fetch::metadata_of;
use crate::time::SECOND;

/// Reads the section; `None` if something is wrong, which has then been noted.
pub(super) fn source(field: &Field<'_>, provider: &Rc<str>, issuer: &str) -> Option<Source> {
    let section = field.section(&shapes::REMOTE_JWKS)?;
    let cluster = cluster(&section);
    let uri = match section.get("uri") {
        Some(field) => url(&field).map(Some),
        None if metadata_of(issuer).is_some() => Some(None),
        None => {
            section.error(
                "`uri` is missing, and the issuer is no URL under which its metadata could stand",
                "write `uri: https://…/jwks.json`",
            );
            None
        }
    };
    let cache = duration(&section, "cacheDuration", 300 * SECOND, SECOND, 24 * HOUR);
    let refetch = duration(&section, "failedRefetchDuration", 2 * SECOND, 100 * MILLISECOND, 60 * SECOND);
    let timeout = duration(&section, "timeout", 2 * SECOND, 10 * MILLISECOND, 30 * SECOND);
    let stale_grace = duration(&section, "staleGrace", HOUR, 0, 7 * 24 * HOUR);
    Some(Source {
        provider: Rc::clone(provider),
        issuer: issuer.into(),
        cluster: cluster?,
        uri: uri?,
        cache: cache?,
        refetch: refetch?,
        timeout: timeout?,
        stale_grace: stale_grace?,
    })
}

//! How often does the plugin ask for memory? A counter is put into the module, where Rust's allocator begins.

use wasmparser::{BinaryReader, KnownCustom, Name, Parser, Payload, TypeRef};

/// The name under which the changed module shows its counter.
pub const COUNTER: &str = "portcullis_allocations";
/// What each allocation goes through: Rust's own functions, by the end of their mangled names, or, where an optimiser has put those into
/// their callers, C's, without what is grown in place.
const ALLOCATORS: [&[&str]; 2] = [&["__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc"], &["dlmalloc"]];

/// Sections of a module, by their numbers in the specification.
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// Where things are in a module.
#[derive(Default)]
struct Layout {
    imported_functions: u32,
    globals: u32,
    /// By each of [`ALLOCATORS`].
    found: [Vec<u32>; 2],
}

impl Layout {
    /// The first kind of which all functions are there, or the other as far as they are.
    fn allocators(&self) -> &[u32] {
        let [rust, c] = &self.found;
        if rust.len() == ALLOCATORS[0].len() { rust } else { c }
    }
}

/// The same module, with a global that counts. `module` has its names (`build/portcullis.names.wasm`).
pub fn counting(module: &[u8]) -> Result<Vec<u8>, String> {
    let layout = layout(module).map_err(|error| error.to_string())?;
    if layout.allocators().is_empty() {
        return Err(format!("the module has none of the functions {ALLOCATORS:?}, or not their names"));
    }
    let (head, mut rest) = module.split_at_checked(8).ok_or("not a module")?;
    let mut out = head.to_vec();
    while let Some((&number, after)) = rest.split_first() {
        let mut reader = BinaryReader::new(after, 0);
        let size = reader.read_var_u32().map_err(|error| error.to_string())? as usize;
        let start = position(&reader);
        let content = after.get(start..start + size).ok_or("a section is cut short")?;
        let changed = match number {
            GLOBALS => appended(content, &[0x7e, 1, 0x42, 0, 0x0b])?,
            EXPORTS => appended(content, &export(layout.globals))?,
            CODE => code(content, &layout)?,
            _ => content.to_vec(),
        };
        out.push(number);
        put(changed.len(), &mut out);
        out.extend(changed);
        rest = &after[start + size..];
    }
    Ok(out)
}

fn layout(module: &[u8]) -> Result<Layout, wasmparser::BinaryReaderError> {
    let mut layout = Layout::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => layout.imported_functions += 1,
                        TypeRef::Global(_) => layout.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::GlobalSection(section) => layout.globals += section.count(),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(names) = section.as_known() else { continue };
                for name in names {
                    let Name::Function(functions) = name? else { continue };
                    for naming in functions {
                        let naming = naming?;
                        if ALLOCATORS[0].iter().any(|name| naming.name.ends_with(name)) {
                            layout.found[0].push(naming.index);
                        }
                        if ALLOCATORS[1].contains(&naming.name) {
                            layout.found[1].push(naming.index);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(layout)
}

/// A vector with one element more.
fn appended(content: &[u8], element: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    put(count as usize + 1, &mut out);
    out.extend_from_slice(&content[position(&reader)..]);
    out.extend_from_slice(element);
    Ok(out)
}

fn export(global: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put(COUNTER.len(), &mut out);
    out.extend_from_slice(COUNTER.as_bytes());
    out.push(3);
    put(global as usize, &mut out);
    out
}

/// Each body as it is, and one more instruction at the start of those that allocate.
fn code(content: &[u8], layout: &Layout) -> Result<Vec<u8>, String> {
    let told = |error: wasmparser::BinaryReaderError| error.to_string();
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().map_err(told)?;
    let mut out = Vec::new();
    put(count as usize, &mut out);
    for index in 0..count {
        let size = reader.read_var_u32().map_err(told)? as usize;
        let body = reader.read_bytes(size).map_err(told)?;
        if !layout.allocators().contains(&(index + layout.imported_functions)) {
            put(size, &mut out);
            out.extend_from_slice(body);
            continue;
        }
        let mut locals = BinaryReader::new(body, 0);
        for _ in 0..locals.read_var_u32().map_err(told)? {
            locals.read_var_u32().map_err(told)?;
            locals.read::<wasmparser::ValType>().map_err(told)?;
        }
        let (locals, instructions) = body.split_at(position(&locals));
        let counted = [locals, &increment(layout.globals), instructions].concat();
        put(counted.len(), &mut out);
        out.extend(counted);
    }
    Ok(out)
}

/// `global.get`, `i64.const 1`, `i64.add`, `global.set`.
fn increment(global: u32) -> Vec<u8> {
    let mut number = Vec::new();
    put(global as usize, &mut number);
    [&[0x23][..], &number, &[0x42, 1, 0x7c, 0x24], &number].concat()
}

/// How far it has read.
fn position(reader: &BinaryReader<'_>) -> usize {
    usize::try_from(reader.original_position()).unwrap_or(usize::MAX)
}

/// LEB128.
fn put(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

//! JSON that is accepted is JSON to `serde_json` as well, is within its bounds, and its canonical text is a fixed point.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::json::{Bounds, Duplicates, Json};

const DEPTH: usize = 8;
const VALUES: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds { depth: DEPTH, values: VALUES, duplicates: Duplicates::Refuse };
    let Ok(json) = Json::parse(bytes, bounds) else {
        return;
    };
    assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
    let (depth, values) = measure(&json);
    assert!(depth <= DEPTH && values <= VALUES, "depth {depth}, {values} values");
    let text = json.to_string();
    let again = Json::parse(text.as_bytes(), bounds).expect("canonical text is JSON");
    assert_eq!(again.to_string(), text);
});

/// How deep it is, how many values are in it, and that no object holds a key twice.
fn measure(json: &Json) -> (usize, usize) {
    let children: Vec<&Json> = match json {
        Json::List(list) => list.iter().collect(),
        Json::Map(fields) => {
            let mut keys: Vec<&String> = fields.iter().map(|(key, _)| key).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), fields.len(), "a key stands twice");
            fields.iter().map(|(_, value)| value).collect()
        }
        Json::Number(number) => {
            assert!(number.is_finite());
            return (0, 1);
        }
        _ => return (0, 1),
    };
    let inner = children.into_iter().map(measure);
    let (depth, values) = inner.fold((0, 0), |(d, v), (depth, values)| (d.max(depth), v + values));
    (depth + 1, values + 1)
}

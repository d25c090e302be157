//! Shared data for threads that race, as Envoy keeps it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_filter::host::{Cas, HostError, SharedData, Swap};

/// Each key's value and version.
type Values = HashMap<String, (Vec<u8>, u32)>;

/// A map and a counter under one lock.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) values: Mutex<(Values, u32)>,
    /// Writes that came too late.
    pub(crate) lost: AtomicU32,
}

impl SharedData for Shared {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        let found = self.values.lock().unwrap().0.get(key).cloned();
        // Here a worker is overtaken: the others run between its read and its write, also on a machine that is busy.
        std::thread::yield_now();
        Ok(found.map(|(value, version)| (value, Cas(NonZeroU32::new(version).unwrap()))))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let mut values = self.values.lock().unwrap();
        if let (Some((_, version)), Some(cas)) = (values.0.get(key), cas)
            && *version != cas.0.get()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(Swap::Lost);
        }
        values.1 += 1;
        let version = values.1;
        values.0.insert(key.to_owned(), (value.to_vec(), version));
        Ok(Swap::Done)
    }
}

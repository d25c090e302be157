//! What goes to a collector at once? Records of events, with room before them for what their request begins with, so that a batch is written once
//! and sent from where it lies: half a megabyte that is copied pushes the proxy's own data out of the processor's cache.

use super::{Event, otlp};

/// Room for the beginning of a request, which is shorter (see the test).
const ROOM: usize = 128;

/// Events that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    /// [`ROOM`] bytes, then records.
    buffer: Vec<u8>,
    /// How many there are.
    pub(super) events: usize,
    /// When the first of them came, in nanoseconds.
    pub(super) since: u64,
}

impl Batch {
    /// An empty one, in the memory of one that is over.
    pub(super) fn new(mut spare: Vec<u8>, since: u64) -> Self {
        spare.clear();
        spare.resize(ROOM, 0);
        Self { buffer: spare, events: 0, since }
    }

    /// Takes an event.
    pub(super) fn push(&mut self, event: &Event) {
        otlp::put_record(event, &mut self.buffer);
        self.events = self.events.saturating_add(1);
    }

    /// Bytes of its records.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len().saturating_sub(ROOM)
    }

    /// The whole request, the same each time.
    pub(super) fn request(&mut self) -> Option<&[u8]> {
        let front = otlp::front(self.bytes());
        let start = ROOM.checked_sub(front.len())?;
        self.buffer.get_mut(start..ROOM)?.copy_from_slice(&front);
        self.buffer.get(start..)
    }

    /// Its memory, for another one.
    pub(super) fn into_spare(self) -> Vec<u8> {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Batch, ROOM};
    use crate::audit::{Event, Origin, What, otlp};
    use crate::limits;
    use crate::protobuf::{Fields, Value};
    use crate::testing::test;
    use crate::time::Timestamp;

    #[test]
    fn there_is_room_for_the_beginning_of_the_longest() {
        assert!(otlp::front(limits::EXPORT_BYTES).len() <= ROOM);
    }

    #[test]
    fn a_request_holds_its_records_and_its_memory_serves_again() {
        let event = Event {
            time: Timestamp::from_seconds(1),
            origin: Rc::new(Origin::of_refused("0123456789abcdef")),
            what: What::PolicyRefused(7),
        };
        let mut record = Vec::new();
        otlp::put_record(&event, &mut record);
        let mut spare = Vec::new();
        for count in [1, 2, 300] {
            let mut batch = Batch::new(spare, 0);
            (0..count).for_each(|_| batch.push(&event));
            assert_eq!((batch.events, batch.bytes()), (count, count * record.len()));
            let request = batch.request().unwrap().to_vec();
            assert_eq!(batch.request(), Some(&*request), "as often as it is sent");
            // Resource logs, scope logs, and in them the scope and each record.
            let inner = |message: &[u8], wanted| -> Vec<u8> {
                let found = Fields::of(message).find_map(|field| field.ok().filter(|(at, _)| *at == wanted));
                found.and_then(|(_, value)| value.bytes().ok()).unwrap().to_vec()
            };
            assert_eq!(Fields::of(&request).count(), 1);
            let scope_logs = inner(&inner(&request, 1), 2);
            let fields: Vec<(u32, Value<'_>)> = Fields::of(&scope_logs).map(Result::unwrap).collect();
            assert_eq!(
                fields.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
                [vec![1], vec![2; count]].concat()
            );
            assert!(scope_logs.ends_with(&record));
            spare = batch.into_spare();
        }
    }
}

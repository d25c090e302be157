//! Where does a line end, in a log of any length? Lines longer than any event are passed over, and never held whole.

use std::io::{self, BufRead};

/// Bytes of a line that are held. An event has at most some KiB, in a line of Envoy's log a hundred bytes more.
const LINE: usize = 64 << 10;

/// Hands over each line without its end; `None` for one that is too long.
pub(super) fn each(input: &mut impl BufRead, mut take: impl FnMut(Option<&[u8]>)) -> io::Result<()> {
    let mut line = Vec::new();
    let mut too_long = false;
    let mut begun = false;
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        begun = true;
        too_long |= line.len() + piece.len() > LINE;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let used = piece.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            take((!too_long).then_some(&line));
            line.clear();
            (too_long, begun) = (false, false);
        }
    }
    if begun {
        take((!too_long).then_some(&line));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{LINE, each};

    #[test]
    fn lines_however_they_are_cut() {
        let long = "x".repeat(LINE + 1);
        let fits = "y".repeat(LINE);
        let text = format!("a\n\n{long}\n{fits}\nlast");
        for capacity in [1, 7, 1 << 16] {
            let mut found = Vec::new();
            let mut input = BufReader::with_capacity(capacity, text.as_bytes());
            each(&mut input, |line| found.push(line.map(<[u8]>::len))).unwrap();
            assert_eq!(found, [Some(1), Some(0), None, Some(LINE), Some(4)], "{capacity}");
        }
    }
}

//! Where does a line end, in a log of any length? A line longer than any event is never held whole.

use std::io::{self, BufRead, Read};

/// Bytes of a line that are held. An event has at most some KiB, in a line of Envoy's log a hundred bytes more.
pub(super) const LINE: usize = 64 << 10;

/// A line without its end.
pub(super) enum Line<'l> {
    Whole(&'l [u8]),
    /// One that is longer than [`LINE`]: how it begins, and all of it, as long as it has not been read.
    Long(&'l [u8], &'l mut dyn Read),
}

/// Hands over each line.
pub(super) fn each(input: &mut impl BufRead, mut take: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        held.clear();
        let mut rest = Rest { input: &mut *input, ended: false };
        rest.by_ref().take(LINE as u64 + 1).read_to_end(&mut held)?;
        if held.is_empty() && !rest.ended {
            return Ok(());
        }
        if held.len() <= LINE {
            take(Line::Whole(&held));
            continue;
        }
        let begin = &held[..LINE];
        take(Line::Long(begin, &mut held.as_slice().chain(&mut rest)));
        io::copy(&mut rest, &mut io::sink())?;
    }
}

/// What is left of a line, up to its end or to that of the log.
struct Rest<'i, I> {
    input: &'i mut I,
    /// Whether a line's end was read.
    ended: bool,
}

impl<I: BufRead> Read for Rest<'_, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let bytes = self.input.fill_buf()?;
        let bytes = &bytes[..bytes.len().min(buffer.len())];
        let end = bytes.iter().position(|b| *b == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        buffer[..piece.len()].copy_from_slice(piece);
        let count = piece.len();
        self.ended = end.is_some();
        self.input.consume(count + usize::from(end.is_some()));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{LINE, Line, each};

    #[test]
    fn lines_however_they_are_cut() {
        let long = "x".repeat(LINE + 1);
        let fits = "y".repeat(LINE);
        let text = format!("a\n\n{long}\n{fits}\n{long}{long}\nlast");
        for capacity in [1, 7, 1 << 16] {
            for read_them in [false, true] {
                let mut found = Vec::new();
                let mut input = BufReader::with_capacity(capacity, text.as_bytes());
                each(&mut input, |line| match line {
                    Line::Whole(line) => found.push((line.len(), true)),
                    Line::Long(begin, all) => {
                        assert_eq!(begin.len(), LINE);
                        let mut held = Vec::new();
                        if read_them {
                            all.read_to_end(&mut held).unwrap();
                        }
                        found.push((held.len(), false));
                    }
                })
                .unwrap();
                let long = |length| (if read_them { length } else { 0 }, false);
                let expected =
                    [(1, true), (0, true), long(LINE + 1), (LINE, true), long(2 * (LINE + 1)), (4, true)];
                assert_eq!(found, expected, "{capacity}");
            }
        }
    }
}

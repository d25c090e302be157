//! To which trace does a request belong? W3C Trace Context, <https://www.w3.org/TR/trace-context/#traceparent-header>.

/// The trace and the span that a client says it comes from. A client chooses them: they find a request again, and prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 32],
    span: [u8; 16],
}

impl TraceParent {
    /// Reads `traceparent`: §3.2.2, `version "-" trace-id "-" parent-id "-" trace-flags`, in lower-case hexadecimal digits. Version `ff` and
    /// ids of nothing but zeros are invalid. Of a later version than 00 the first four parts are read (§4.3), and what follows must
    /// begin with a dash.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = part::<2>(value)?;
        let (trace, rest) = part::<32>(rest.strip_prefix(b"-")?)?;
        let (span, rest) = part::<16>(rest.strip_prefix(b"-")?)?;
        let (_, rest) = part::<2>(rest.strip_prefix(b"-")?)?;
        let ends = rest.is_empty() || (version != *b"00" && rest.starts_with(b"-"));
        let means = version != *b"ff" && trace != [b'0'; 32] && span != [b'0'; 16];
        (ends && means).then_some(Self { trace, span })
    }

    /// 32 digits.
    pub fn trace_id(&self) -> &str {
        core::str::from_utf8(&self.trace).unwrap_or_default()
    }

    /// 16 digits: the span of whoever sent the request.
    pub fn span_id(&self) -> &str {
        core::str::from_utf8(&self.span).unwrap_or_default()
    }
}

fn part<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (part, rest) = text.split_first_chunk::<N>()?;
    part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some((*part, rest))
}

#[cfg(test)]
mod tests {
    use super::TraceParent;
    use crate::testing::test;

    #[test]
    fn traceparents_in_rows() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        for (value, good) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-ff"), true),
            (format!("01-{TRACE}-{SPAN}-01-what-comes-later"), true),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-01-what-comes-later"), false),
            (format!("01-{TRACE}-{SPAN}-01."), false),
            (format!("ff-{TRACE}-{SPAN}-01"), false),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), false),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), false),
            (format!("0-{TRACE}-{SPAN}-01"), false),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("00-{TRACE}-{SPAN}-1"), false),
            (format!("00-{TRACE}-{SPAN}-0g"), false),
            (format!("00-{TRACE}-{SPAN}"), false),
            (format!("00_{TRACE}_{SPAN}_01"), false),
            (format!(" 00-{TRACE}-{SPAN}-01"), false),
            (format!("00-{TRACE}\n-{SPAN}-01"), false),
            (String::new(), false),
        ] {
            let read = TraceParent::parse(value.as_bytes());
            assert_eq!(read.is_some(), good, "{value}");
            if let Some(read) = read {
                assert_eq!((read.trace_id(), read.span_id()), (TRACE, SPAN));
            }
        }
        assert_eq!(TraceParent::parse(&[0xff; 55]), None);
    }
}

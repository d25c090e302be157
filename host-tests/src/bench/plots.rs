//! What do the figures look like? Bars of what each case adds, with their spread; and a small curve for each thing that grows.

use super::figures::Line;
use super::svg::{Anchor, Drawing};
use crate::metered::growth::Curve;

/// The file of the bars.
pub const BARS: &str = "docs/benchmarks.svg";
/// The file of the curves.
pub const CURVES: &str = "docs/growth.svg";

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 19.0;
/// Where bars begin and end; names stand to the left, figures to the right.
const FROM: f64 = 330.0;
const TO: f64 = 880.0;
/// The share of the cases whose bars fit whole; of the others the figure is told.
const WHOLE: f64 = 0.88;
/// Microseconds between two lines of the grid.
const STEP: f64 = 25.0;

/// What each case adds to bare Envoy, from the smallest to the largest round, and the median as a bar.
pub fn bars(lines: &[Line]) -> String {
    let top = 64.0;
    #[expect(clippy::cast_precision_loss, reason = "some dozen rows")]
    let place = |row: usize| top + row as f64 * ROW;
    let bottom = place(lines.len());
    let end = end_of(lines);
    let x = |micros: f64| FROM + (TO - FROM) * micros.clamp(0.0, end) / end;
    let mut drawing = Drawing::new(WIDTH, bottom + 40.0);
    drawing.text(MARGIN, 26.0, Anchor::Start, "title", "What a request costs over bare Envoy");
    legend(&mut drawing, 46.0);
    let mut tick = 0.0;
    while tick <= end {
        drawing.line((x(tick), top - 6.0), (x(tick), bottom), "grid");
        drawing.text(x(tick), bottom + 14.0, Anchor::Middle, "faint", &format!("{tick:.0}"));
        tick += STEP;
    }
    let axis = "microseconds of CPU a request; the bar is the median, the thin line from the smallest to the largest round";
    drawing.text(f64::midpoint(FROM, TO), bottom + 31.0, Anchor::Middle, "faint", axis);
    for (row, line) in lines.iter().enumerate() {
        let (y, added) = (place(row), line.added);
        let middle = y + ROW / 2.0 - 2.0;
        drawing.text(FROM - 8.0, middle + 4.0, Anchor::End, "", line.name);
        drawing.bar((FROM, y), (x(added.median) - FROM, ROW - 5.0), class(line.name));
        drawing.line((x(added.min), middle), (x(added.max), middle), "spread");
        let more = if added.median > end { " ▸" } else { "" };
        let figure = format!("{:.1}{more}", added.median);
        drawing.text(x(added.median.max(added.max)) + 6.0, middle + 4.0, Anchor::Start, "faint", &figure);
    }
    drawing.line((FROM, top - 6.0), (FROM, bottom), "axis");
    drawing
        .finish("Bars: microseconds of CPU that each case of the table adds to bare Envoy, with their spread")
}

/// A step of the grid at or above what most cases add.
fn end_of(lines: &[Line]) -> f64 {
    let mut added: Vec<f64> = lines.iter().map(|line| line.added.median).collect();
    added.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of some dozen"
    )]
    let most = (added.len() as f64 * WHOLE) as usize;
    let most = added.get(most).or(added.last()).copied().unwrap_or_default();
    (most / STEP).ceil().max(1.0) * STEP
}

const KINDS: [(&str, &str, &str); 4] = [
    ("portcullis", "ours", "the gateway"),
    ("native", "native", "Envoy's own filters"),
    ("ext_authz", "asked", "a service that is asked, or a script"),
    ("", "plain", "bare Envoy, and plugins that decide nothing"),
];

fn class(name: &str) -> &'static str {
    let name = name.replace("Lua", "ext_authz");
    KINDS.iter().find(|(begins, ..)| name.starts_with(begins)).map_or("plain", |(_, class, _)| class)
}

fn legend(drawing: &mut Drawing, y: f64) {
    let mut x = MARGIN;
    for (_, class, words) in KINDS {
        drawing.bar((x, y - 9.0), (10.0, 10.0), class);
        drawing.text(x + 15.0, y, Anchor::Start, "faint", words);
        #[expect(clippy::cast_precision_loss, reason = "a few words")]
        let width = words.len() as f64 * 6.0;
        x += width + 36.0;
    }
}

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (310.0, 220.0);

/// Instructions a request, a panel for each thing that grows. Across, each point is ten times the one before or so; upwards all begin at zero.
pub fn curves(curves: &[Curve]) -> String {
    let rows = curves.len().div_ceil(COLUMNS);
    #[expect(clippy::cast_precision_loss, reason = "a few panels")]
    let corner =
        |at: usize| ((at % COLUMNS) as f64 * PANEL.0 + MARGIN, (at / COLUMNS) as f64 * PANEL.1 + 44.0);
    #[expect(clippy::cast_precision_loss, reason = "a few panels")]
    let height = rows as f64 * PANEL.1 + 56.0;
    let mut drawing = Drawing::new(WIDTH, height);
    let title = "What a request costs as things grow, in thousands of instructions of the plugin (across: by factors)";
    drawing.text(MARGIN, 26.0, Anchor::Start, "title", title);
    for (at, curve) in curves.iter().enumerate() {
        panel(&mut drawing, corner(at), curve);
    }
    drawing.finish("Curves: instructions of the plugin a request, by the number of routes, keys, callers and header fields, and by the size of tokens and bodies")
}

#[expect(clippy::cast_precision_loss, reason = "what is drawn needs no 53 bits")]
fn panel(drawing: &mut Drawing, (left, top): (f64, f64), curve: &Curve) {
    let (from, to) = (left + 40.0, left + PANEL.0 - 30.0);
    let (above, below) = (top + 26.0, top + PANEL.1 - 52.0);
    drawing.text(from, top + 12.0, Anchor::Start, "", curve.name);
    let sizes = || curve.points.iter().map(|(size, _)| (*size as f64).max(1.0).ln());
    let (least, most) = (sizes().fold(f64::MAX, f64::min), sizes().fold(f64::MIN, f64::max));
    let x = |size: usize| {
        let share = ((size as f64).max(1.0).ln() - least) / (most - least).max(f64::EPSILON);
        from + (to - from) * share
    };
    let highest = curve.points.iter().map(|(_, fuel)| *fuel as f64 / 1e3).fold(0.0, f64::max);
    let step = step_of(highest);
    let end = (highest / step).ceil().max(1.0) * step;
    let y = |thousands: f64| below - (below - above) * thousands / end;
    let mut tick = 0.0;
    while tick <= end {
        drawing.line((from, y(tick)), (to, y(tick)), "grid");
        drawing.text(from - 6.0, y(tick) + 4.0, Anchor::End, "faint", &format!("{tick:.0}"));
        tick += step;
    }
    drawing.line((from, below), (to, below), "axis");
    for (size, _) in &curve.points {
        drawing.text(x(*size), below + 15.0, Anchor::Middle, "faint", &short(*size));
    }
    drawing.text(f64::midpoint(from, to), below + 31.0, Anchor::Middle, "faint", curve.unit);
    let places: Vec<_> = curve.points.iter().map(|(size, fuel)| (x(*size), y(*fuel as f64 / 1e3))).collect();
    drawing.curve(&places);
}

/// The distance of three to six lines, of 1, 2 or 5 times a power of ten.
fn step_of(highest: f64) -> f64 {
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].iter().cycle().take(30) {
        if highest / step <= 6.0 {
            break;
        }
        step *= factor;
    }
    step
}

/// A number as it stands under an axis.
pub fn short(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ if number.is_multiple_of(1 << 20) => format!("{}Mi", number >> 20),
        _ if number.is_multiple_of(1 << 10) => format!("{}Ki", number >> 10),
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        1_000..10_000 => format!("{:.1}k", number as f64 / 1e3).replace(".0k", "k"),
        _ => format!("{}k", (number + 500) / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{bars, curves, short, step_of};
    use crate::bench::figures::{Line, Spread};
    use crate::metered::growth::Curve;

    fn line(name: &'static str, median: f64) -> Line {
        let added = Spread { median, min: median - 1.0, max: median + 1.0 };
        Line { name, cost: added, service: None, added, ratio: 1.0, beside_native: None }
    }

    #[test]
    fn a_bar_has_its_length_its_spread_and_its_figure() {
        // Ten that fit, and one that does not: the axis ends at 50, and 550 units are 50 microseconds.
        let lines: Vec<Line> = std::iter::repeat_n(line("native: it", 50.0), 10)
            .chain([line("portcullis: it", 25.0), line("Lua: slow", 900.0)])
            .collect();
        let file = bars(&lines);
        assert_eq!(file.matches(r#"width="550.0" height="14.0" class="native""#).count(), 10, "{file}");
        assert_eq!(file.matches(r#"width="275.0" height="14.0" class="ours""#).count(), 1, "{file}");
        assert_eq!(file.matches(r#"width="550.0" height="14.0" class="asked""#).count(), 1, "{file}");
        assert!(file.contains("900.0 ▸</text>") && file.contains(">25.0</text>"), "{file}");
        // From 24 to 26.
        assert!(file.contains(r#"<line x1="594.0""#) && file.contains(r#"x2="616.0""#), "{file}");
    }

    #[test]
    fn what_adds_nothing_has_no_bar() {
        assert!(bars(&[line("native: it", -3.0)]).contains(r#"width="0.0" height="14.0""#));
    }

    #[test]
    fn a_curve_goes_from_the_left_to_the_right_and_begins_at_zero() {
        let curve =
            Curve { name: "it", unit: "routes", points: vec![(1, 0), (100, 10_000), (10_000, 20_000)] };
        let file = curves(&[curve]);
        assert!(
            file.contains(r#"<polyline points="56.0,212.0 176.0,141.0 296.0,70.0" class="curve"/>"#),
            "{file}"
        );
        assert!(file.contains(">10k</text>") && file.contains(">routes</text>"), "{file}");
    }

    #[test]
    fn numbers_are_short_and_steps_are_few() {
        for (number, text) in [
            (90, "90"),
            (1_000, "1k"),
            (1_500, "1.5k"),
            (10_000, "10k"),
            (15_994, "16k"),
            (16 << 10, "16Ki"),
            (1 << 20, "1Mi"),
        ] {
            assert_eq!(short(number), text);
        }
        for (highest, step) in [(3.0, 1.0), (13.0, 5.0), (37.0, 10.0), (110.0, 20.0), (299.0, 50.0)] {
            assert!((step_of(highest) - step).abs() < 1e-9, "{highest}: {}", step_of(highest));
        }
    }
}

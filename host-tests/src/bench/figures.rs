//! What do the rounds say of a case, and how does it compare with the others?

use super::cases::{BARE, Case};

/// A part of what bare Envoy costs; less than this is no divisor.
const SOMETHING: f64 = 0.1;

/// The figures of a run: for each case, microseconds of CPU a request in each turn.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: &'static str,
    beside: Option<&'static str>,
    micros: Vec<f64>,
    service: Vec<f64>,
}

/// Microseconds of CPU a request, in one turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Micros {
    /// In all processes.
    pub all: f64,
    /// Of it, in the service that Envoy asks; `None` if it asks none.
    pub service: Option<f64>,
}

/// The middle of some figures, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest, or the lower quartile.
    pub min: f64,
    /// The largest, or the upper quartile.
    pub max: f64,
}

/// What is told of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// Microseconds of CPU a request.
    pub cost: Spread,
    /// Of it, what a service that Envoy asks takes; the median.
    pub service: Option<f64>,
    /// `cost` less `bare` of the same turn.
    pub added: Spread,
    /// `cost` by `bare` of the same turn, the median.
    pub ratio: f64,
    /// `added` by what the case with Envoy's own filters adds in the same turn, the median; `None` if that is next to nothing.
    pub beside_native: Option<f64>,
}

impl Spread {
    /// Of the middle half of some figures, so its ends are their quartiles: of many short turns some fall into somebody else's time. `None` if
    /// there is none.
    pub fn of_the_middle(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let quarter = figures.len() / 4;
        Self::of(figures.get(quarter..figures.len() - quarter)?.iter().copied())
    }

    /// Of all of them.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let (low, high) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }
}

impl Table {
    /// An empty one.
    pub fn of(cases: &[Case]) -> Self {
        let row = |case: &Case| Row { name: case.name, beside: case.beside, micros: vec![], service: vec![] };
        Self { rows: cases.iter().map(row).collect() }
    }

    /// Notes the next turn of a case.
    pub fn add(&mut self, case: usize, micros: Micros) {
        self.rows[case].micros.push(micros.all);
        self.rows[case].service.extend(micros.service);
    }

    /// A line for each case, in order; `None` where `bare` or the case was not measured.
    pub fn lines(&self) -> Option<Vec<Line>> {
        self.rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &Row) -> Option<Line> {
        let bare = self.turns(BARE)?;
        let added =
            |micros: &[f64]| -> Vec<f64> { micros.iter().zip(bare).map(|(it, bare)| it - bare).collect() };
        let own = added(&row.micros);
        let native = row.beside.and_then(|name| self.turns(name)).map(added);
        let ratio = |(own, native): (&f64, f64)| own / native;
        let adds =
            |native: &[f64]| Spread::of_the_middle(native.iter().zip(bare).map(|(it, bare)| it / bare));
        let native = native.filter(|native| adds(native).is_some_and(|adds| adds.min > SOMETHING));
        let by_native = native.and_then(|native| Spread::of(own.iter().zip(native).map(ratio)));
        Some(Line {
            name: row.name,
            cost: Spread::of_the_middle(row.micros.iter().copied())?,
            service: Spread::of(row.service.iter().copied()).map(|spread| spread.median),
            added: Spread::of_the_middle(own.iter().copied())?,
            ratio: Spread::of(row.micros.iter().zip(bare).map(|(it, bare)| it / bare))?.median,
            beside_native: by_native.map(|spread| spread.median),
        })
    }

    fn turns(&self, name: &str) -> Option<&[f64]> {
        Some(&self.rows.iter().find(|row| row.name == name)?.micros)
    }
}

#[cfg(test)]
mod tests {
    use super::{BARE, Micros, Row, Spread, Table};

    #[test]
    fn a_spread_is_of_what_there_is() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        let many = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 100.0];
        assert_eq!(Spread::of_the_middle(many), Some(Spread { median: 3.5, min: 2.0, max: 5.0 }));
        assert_eq!(Spread::of_the_middle([]), None);
    }

    #[test]
    fn a_service_is_told_apart() {
        let mut table =
            Table { rows: vec![Row { name: BARE, beside: None, micros: vec![], service: vec![] }] };
        table.add(0, Micros { all: 30.0, service: Some(12.0) });
        let lines = table.lines().unwrap();
        assert_eq!((lines[0].cost.median, lines[0].service), (30.0, Some(12.0)));
    }

    #[test]
    fn a_case_is_compared_within_its_turn() {
        let row =
            |name, beside, micros: [f64; 3]| Row { name, beside, micros: micros.to_vec(), service: vec![] };
        let table = Table {
            rows: vec![
                row(BARE, None, [10.0, 20.0, 10.0]),
                row("ours", Some("theirs"), [15.0, 26.0, 14.0]),
                row("theirs", None, [20.0, 40.0, 20.0]),
            ],
        };
        let lines = table.lines().unwrap();
        assert_eq!(lines[0].added, Spread { median: 0.0, min: 0.0, max: 0.0 });
        assert_eq!(lines[1].added, Spread { median: 5.0, min: 4.0, max: 6.0 });
        assert_eq!((lines[1].ratio, lines[1].beside_native), (1.4, Some(0.4)));
        assert_eq!(lines[2].beside_native, None);
        assert_eq!(Table { rows: table.rows[1..].to_vec() }.lines(), None);
    }
}

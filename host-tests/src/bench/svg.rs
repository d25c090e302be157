//! How is a picture drawn that reads on white and on black paper? The few shapes of SVG that a chart needs, by hand.

use std::fmt::Write as _;

/// Where a text begins, or ends, or has its middle.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// To the right of the place.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// A picture in the making.
#[derive(Debug)]
pub struct Drawing {
    width: f64,
    height: f64,
    shapes: String,
}

/// The paper is drawn too, since the page around the picture may have another colour than the reader's system asks for.
const STYLE: &str = "
  text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
  .paper { fill: #ffffff } .title { font-size: 14px; font-weight: 600 } .faint { fill: #59636e; font-size: 11px }
  .grid { stroke: #d9dee3 } .axis { stroke: #818b98 } .spread { stroke: #1f2328; stroke-width: 1.2 }
  .ours { fill: #0969da } .native { fill: #9a6700 } .asked { fill: #1a7f37 } .plain { fill: #818b98 }
  .curve { fill: none; stroke: #0969da; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .paper { fill: #0d1117 } .faint { fill: #9198a1 }
    .grid { stroke: #2f353d } .axis { stroke: #9198a1 } .spread { stroke: #f0f6fc }
    .ours { fill: #4493f8 } .native { fill: #d29922 } .asked { fill: #3fb950 } .plain { fill: #656c76 } .curve { stroke: #4493f8 }
  }
";

impl Drawing {
    /// An empty one of this size.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: String::new() }
    }

    /// Words at a place, which is on their base line.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.shape(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    /// A line from one place to another.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.shape(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    /// A bar, by its upper left corner and its size.
    pub fn bar(&mut self, corner: (f64, f64), size: (f64, f64), class: &str) {
        let ((x, y), (width, height)) = (corner, size);
        self.shape(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" class="{class}"/>"#
        ));
    }

    /// A curve through places, each with a dot.
    pub fn curve(&mut self, places: &[(f64, f64)]) {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.shape(format_args!(r#"<polyline points="{}" class="curve"/>"#, points.join(" ")));
        for (x, y) in places {
            self.shape(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" class="ours"/>"#));
        }
    }

    /// The file. `about` is for those who do not see it.
    pub fn finish(self, about: &str) -> String {
        let Self { width, height, shapes } = self;
        let about = escaped(about);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img">
<title>{about}</title>
<style>{STYLE}</style>
<rect width="100%" height="100%" class="paper"/>
{shapes}</svg>
"#
        )
    }

    fn shape(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.shapes, "{shape}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Anchor, Drawing};

    #[test]
    fn what_is_drawn_is_in_the_file() {
        let mut drawing = Drawing::new(100.0, 50.0);
        drawing.text(1.0, 2.25, Anchor::End, "faint", "a < b & c");
        drawing.curve(&[(1.0, 2.0), (3.0, 4.0)]);
        let file = drawing.finish("about > it");
        assert!(
            file.starts_with(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 50""#),
            "{file}"
        );
        for part in [
            r#"<text x="1.0" y="2.2" text-anchor="end" class="faint">a &lt; b &amp; c</text>"#,
            r#"<polyline points="1.0,2.0 3.0,4.0" class="curve"/>"#,
            r#"<circle cx="3.0" cy="4.0" r="3" class="ours"/>"#,
            "<title>about &gt; it</title>",
            "prefers-color-scheme: dark",
        ] {
            assert!(file.contains(part), "{part}\n{file}");
        }
    }
}

//! SVG as text: [`Svg`] collects elements. No dependency, no scripts; colours are names of classes that a style sheet resolves.

use std::fmt::Write;

/// A picture that grows element by element.
pub struct Svg {
    text: String,
}

/// Where a text's position is in it.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

impl Svg {
    /// An empty picture of this size with a style sheet and a title for those who do not see it.
    pub fn new(width: f64, height: f64, style: &str, title: &str) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{}</title>\n<style>{style}</style>\n",
            escape(title)
        );
        Svg { text }
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.element(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// A line through points, in this order.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut list = String::new();
        for (x, y) in points {
            let _ = write!(list, "{x:.1},{y:.1} ");
        }
        self.element(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", list.trim_end()));
    }

    /// A mark with a text that shows when it is pointed at.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, hint: &str) {
        self.element(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{}</title></circle>",
            escape(hint)
        ));
    }

    /// A text.
    pub fn label(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, label: &str) {
        self.element(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{}\">{}</text>",
            anchor.name(),
            escape(label)
        ));
    }

    /// A text from below to above, centred.
    pub fn rising_label(&mut self, class: &str, (x, y): (f64, f64), label: &str) {
        self.element(format_args!(
            "<text class=\"{class}\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(label)
        ));
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{element}");
    }
}

/// A text as the content of an element or an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut svg = Svg::new(10.0, 10.0, "", "a < b");
        svg.label("l", (1.0, 2.0), Anchor::Middle, "\"x\" & y");
        let text = svg.finish();
        assert!(text.contains("<title>a &lt; b</title>"), "{text}");
        assert!(text.contains(">&quot;x&quot; &amp; y</text>"), "{text}");
        assert!(text.ends_with("</svg>\n"));
    }
}

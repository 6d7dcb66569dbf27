//! The elements of a chart: text, lines and bars in the colors of a scheme.

use std::path::Path;

use svg::Document;
use svg::node::Node;
use svg::node::element::{Circle, Polygon, Polyline, Rectangle, Text, Title};

/// The width of a README on GitHub: a picture of this width is shown at its own size, so
/// text keeps the size in which it is drawn.
pub(crate) const WIDTH: f64 = 830.0;

/// The sizes of text.
pub(crate) const HEADING: f64 = 17.0;
pub(crate) const NORMAL: f64 = 13.5;
pub(crate) const SMALL: f64 = 12.5;

/// The meaning of a color. Only hpalloc has a warm color. The others also differ in
/// lightness and dashes, for color-blind readers.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Text,
    Muted,
    Grid,
    Background,
    Ours,
    /// An allocator of hpalloc that is not the subject of the chart.
    OursFaint,
    Peer,
    Blue,
    Green,
    Purple,
    Gray,
}

/// The colors of a light or a dark page.
pub(crate) struct Scheme {
    pub(crate) name: &'static str,
    /// `false` if the chart is transparent, so that the page is its background.
    has_background: bool,
    colors: [&'static str; 11],
}

pub(crate) const SCHEMES: [Scheme; 2] = [
    // A page that doesn't support color schemes shows the light version, even if the page
    // is dark. So this version has a background.
    Scheme {
        name: "light",
        has_background: true,
        colors: [
            "#1f2328", "#59636e", "#dde2e7", "#ffffff", "#c2410c", "#d9733f", "#8b98a5", "#0a5cad", "#0f7b5c",
            "#8a3fc0", "#57606a",
        ],
    },
    Scheme {
        name: "dark",
        has_background: false,
        colors: [
            "#f0f6fc", "#a5aeb8", "#30363d", "#0d1117", "#ff8a4c", "#c47a52", "#6e7a87", "#6cb6ff", "#56d4a8",
            "#d2a8ff", "#b1bac4",
        ],
    },
];

/// The part of a text that is at the given position.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

type Point = (f64, f64);

/// A picture in one color scheme.
pub(crate) struct Picture {
    scheme: &'static Scheme,
    document: Document,
}

impl Picture {
    pub(crate) fn new(scheme: &'static Scheme, height: f64, description: &str) -> Self {
        let document = Document::new()
            .set("viewBox", (0.0, 0.0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .set("role", "img")
            .set(
                "font-family",
                "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'Liberation Sans', sans-serif",
            );
        let mut picture = Self { scheme, document };
        picture.document.append(Title::new(description));
        if scheme.has_background {
            picture.rectangle((0.0, 0.0), (WIDTH, height), Ink::Background);
        }
        picture
    }

    fn color(&self, ink: Ink) -> &'static str {
        self.scheme.colors[ink as usize]
    }

    /// Draws a text whose vertical center is at `y`.
    pub(crate) fn text(&mut self, (x, y): Point, text: &str, size: f64, ink: Ink, anchor: Anchor) {
        self.write((x, y), text, size, ink, anchor, "normal");
    }

    /// Draws a text in bold.
    pub(crate) fn bold(&mut self, (x, y): Point, text: &str, size: f64, ink: Ink, anchor: Anchor) {
        self.write((x, y), text, size, ink, anchor, "600");
    }

    fn write(&mut self, (x, y): Point, text: &str, size: f64, ink: Ink, anchor: Anchor, weight: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = Text::new(text)
            .set("x", round(x))
            .set("y", round(y + 0.35 * size))
            .set("fill", self.color(ink))
            .set("font-size", size)
            .set("font-weight", weight)
            .set("text-anchor", anchor);
        self.document.append(text);
    }

    /// Draws the heading of the chart and a line of explanation.
    pub(crate) fn heading(&mut self, heading: &str, explanation: &str) {
        self.bold((12.0, 20.0), heading, HEADING, Ink::Text, Anchor::Start);
        self.text((12.0, 43.0), explanation, NORMAL, Ink::Muted, Anchor::Start);
    }

    /// Draws a line through points. The dashes are as in SVG: empty for a solid line.
    pub(crate) fn line(&mut self, points: &[Point], ink: Ink, width: f64, dashes: &str) {
        let mut line = Polyline::new()
            .set("points", list(points))
            .set("fill", "none")
            .set("stroke", self.color(ink))
            .set("stroke-width", width)
            .set("stroke-linejoin", "round");
        if !dashes.is_empty() {
            line = line.set("stroke-dasharray", dashes);
        }
        self.document.append(line);
    }

    pub(crate) fn polygon(&mut self, points: &[Point], ink: Ink) {
        self.document.append(Polygon::new().set("points", list(points)).set("fill", self.color(ink)));
    }

    pub(crate) fn dot(&mut self, (x, y): Point, radius: f64, ink: Ink) {
        let dot = Circle::new().set("cx", round(x)).set("cy", round(y)).set("r", radius);
        self.document.append(dot.set("fill", self.color(ink)));
    }

    pub(crate) fn rectangle(&mut self, (x, y): Point, (width, height): Point, ink: Ink) {
        let rectangle = Rectangle::new()
            .set("x", round(x))
            .set("y", round(y))
            .set("width", round(width))
            .set("height", round(height))
            .set("fill", self.color(ink));
        self.document.append(rectangle);
    }

    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        svg::save(path, &self.document)
    }
}

/// Formats points as the value of an SVG attribute.
fn list(points: &[Point]) -> String {
    points.iter().map(|&(x, y)| format!("{},{}", round(x), round(y))).collect::<Vec<_>>().join(" ")
}

/// Rounds a position to tenths. No one can see a smaller difference.
fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

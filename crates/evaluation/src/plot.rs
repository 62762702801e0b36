//! The curves as a picture.

use crate::curve::{Curve, Point};
use crate::report::Report;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;
const STEPS: u32 = 5;

struct Frame {
    cost: (f64, f64),
    quality: (f64, f64),
}

impl Frame {
    fn of(report: &Report) -> Self {
        let points = report.models.iter().map(|single| single.point);
        let points: Vec<Point> = points.chain(report.oracle.points().iter().copied()).collect();
        let range = |of: fn(&Point) -> f64| {
            let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            let margin = 0.05 * (high - low).max(1e-9);
            (low - margin, high + margin)
        };
        Self { cost: range(|p| p.cost), quality: range(|p| p.quality) }
    }

    fn x(&self, cost: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (cost - self.cost.0) / (self.cost.1 - self.cost.0)
    }

    fn y(&self, quality: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (quality - self.quality.0) / (self.quality.1 - self.quality.0)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A picture of quality over cost: each model, the best mixture of models, the router, and the oracle.
#[must_use]
pub fn svg(report: &Report) -> String {
    let frame = Frame::of(report);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // Writing to a string cannot fail.
    let _ = axes(&mut out, &frame);
    let curves = [
        (&report.oracle, "#999999", "oracle"),
        (&report.mixture, "#d95f02", "best mixture"),
        (&report.forecast, "#1b9e77", "gateway's forecast"),
        (&report.router, "#1b6ac9", "router"),
    ];
    for (place, (curve, colour, name)) in (0..).zip(curves) {
        let _ = line(&mut out, &frame, curve, colour);
        let (x, y) = (WIDTH - RIGHT - 110.0, HEIGHT - BOTTOM - 20.0 - 18.0 * f64::from(place));
        let _ = writeln!(out, "<text x=\"{x:.0}\" y=\"{y:.0}\" fill=\"{colour}\">{name}</text>");
    }
    for single in &report.models {
        let (x, y) = (frame.x(single.point.cost), frame.y(single.point.quality));
        let name = escaped(&single.model);
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#555555\"><title>{name}</title></circle>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#555555\">{name}</text>",
            x + 5.0,
            y + 3.0
        );
    }
    out.push_str("</svg>\n");
    out
}

fn axes(out: &mut String, frame: &Frame) -> std::fmt::Result {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    writeln!(out, "<path d=\"M{LEFT} {TOP} V{bottom} H{right}\" fill=\"none\" stroke=\"#333333\"/>")?;
    for step in 0..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let cost = frame.cost.0 + share * (frame.cost.1 - frame.cost.0);
        let quality = frame.quality.0 + share * (frame.quality.1 - frame.quality.0);
        let (x, y) = (frame.x(cost), frame.y(quality));
        writeln!(
            out,
            "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{:.3}</text>",
            bottom + 18.0,
            cost * 1_000.0
        )?;
        writeln!(out, "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{quality:.2}</text>", LEFT - 8.0)?;
    }
    let middle = f64::midpoint(LEFT, right);
    writeln!(
        out,
        "<text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\">$ for 1,000 prompts</text>",
        HEIGHT - 12.0
    )?;
    writeln!(out, "<text x=\"{LEFT}\" y=\"{:.0}\">mean score</text>", TOP - 12.0)
}

fn line(out: &mut String, frame: &Frame, curve: &Curve, colour: &str) -> std::fmt::Result {
    let Some(last) = curve.points().last() else { return Ok(()) };
    write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"")?;
    for point in curve.points() {
        write!(out, "{:.1},{:.1} ", frame.x(point.cost), frame.y(point.quality))?;
    }
    writeln!(out, "{:.1},{:.1}\"/>", frame.x(frame.cost.1), frame.y(last.quality))
}

//! Plots of the results as SVG. Colours are fixed here; the page's style sheet maps them to those of its theme.

use super::results::{LayerResult, Rates, Reached, Results, digits};
use crate::layers::Op;
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;

/// A plot in two widths, for wide and narrow screens: text keeps its size, which it would not in a scaled picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) wide: String,
    pub(super) narrow: String,
}

const WIDE: u32 = 960;
const NARROW: u32 = 380;
const HEIGHT: u32 = 440;

const INK: RGBColor = RGBColor(31, 41, 55);
const GRID: RGBColor = RGBColor(221, 225, 230);
const FASTER: RGBColor = RGBColor(5, 122, 85);
const SLOWER: RGBColor = RGBColor(194, 65, 12);

fn color(op: Op) -> RGBColor {
    match op {
        Op::Fwd => RGBColor(37, 99, 235),
        Op::Dgrad => RGBColor(217, 119, 6),
        Op::Wgrad => RGBColor(147, 51, 234),
    }
}

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a plot in both widths. `hints` are the tooltips of its circles, in the order of drawing.
fn figure(
    title: &str,
    height: u32,
    hints: &[String],
    draw: impl Fn(&Area<'_>, bool) -> Drawn,
) -> Result<Figure, String> {
    let svg = |width| {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        let drawn = draw(&area, width == NARROW).and_then(|()| Ok(area.present()?));
        drop(area);
        drawn.map(|()| hinted(&text, hints)).map_err(|e| format!("{title}: {e}"))
    };
    Ok(Figure { title: title.to_owned(), wide: svg(WIDE)?, narrow: svg(NARROW)? })
}

/// Adds the tooltips to the circles.
fn hinted(svg: &str, hints: &[String]) -> String {
    let mut hints = hints.iter();
    let mut out = String::with_capacity(svg.len());
    for (index, part) in svg.split("<circle").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        out.push_str("<circle");
        match (part.split_once("/>"), hints.next()) {
            (Some((circle, rest)), Some(hint)) => {
                out.push_str(&format!("{circle}><title>{}</title></circle>{rest}", escape(hint)));
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn label_style(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

type LogLog<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// A chart with two named logarithmic axes.
fn log_log<'a, 'b>(
    area: &'b Area<'a>,
    x: Range<f64>,
    y: Range<f64>,
    [x_name, y_name]: [&str; 2],
    narrow: bool,
) -> Result<LogLog<'a, 'b>, Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(if narrow { 50 } else { 62 })
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(y_name)
        .x_labels(if narrow { 4 } else { 8 })
        .y_labels(6)
        .label_style(label_style(16))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|v| plain(*v))
        .y_label_formatter(&|v| plain(*v))
        .draw()?;
    Ok(chart)
}

/// Every layer as a point under the roofline of the GPU or the CPU. `None` without points.
pub(super) fn roofline(results: &Results, of_gpu: bool) -> Result<Option<Figure>, String> {
    let (name, rates) = match (of_gpu, results.roofline.cpu) {
        (true, _) => ("GPU", results.roofline.gpu),
        (false, Some(rates)) => ("CPU", rates),
        (false, None) => return Ok(None),
    };
    let mut points: Vec<(Op, String, &Reached)> = Vec::new();
    for op in Op::ALL {
        for layer in &results.results {
            let reached = if of_gpu { layer.measured(op).map(|m| &m.reached) } else { layer.cpu.get(&op) };
            points.extend(reached.map(|reached| (op, hint(layer, op, reached), reached)));
        }
    }
    let positive = |r: &Reached| r.flops_per_byte > 0.0 && r.gflops > 0.0;
    points.retain(|(_, _, reached)| positive(reached));
    if points.is_empty() {
        return Ok(None);
    }
    let hints: Vec<String> = points.iter().map(|(_, hint, _)| hint.clone()).collect();
    let range = |of: fn(&Reached) -> f64| {
        let values = points.iter().map(|(_, _, reached)| of(reached));
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (left, right) = range(|r| r.flops_per_byte);
    let (bottom, top) = range(|r| r.gflops);
    let corner = rates.gflops / rates.gbps;
    let x = decades(left.min(corner) / 1.2, right.max(corner) * 1.2);
    let y = decades(bottom / 1.2, top.max(rates.gflops) * 1.2);
    let title = format!("Roofline of the {name}: {} GFLOP/s, {} GB/s", digits(rates.gflops), digits(rates.gbps));
    let drawn = figure(&title, HEIGHT, &hints, |area, narrow| {
        let mut chart = log_log(area, x.clone(), y.clone(), ["FLOP per byte", "GFLOP/s"], narrow)?;
        chart.draw_series(LineSeries::new(roof(rates, &x), INK.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|(op, _, reached)| {
            Circle::new((reached.flops_per_byte, reached.gflops), 4, color(*op).mix(0.75).filled())
        }))?;
        Ok(())
    })?;
    Ok(Some(drawn))
}

/// Widens a range to whole decades, so that an axis has numbers at both ends.
fn decades(low: f64, high: f64) -> Range<f64> {
    10_f64.powf(low.log10().floor())..10_f64.powf(high.log10().ceil())
}

fn roof(rates: Rates, x: &Range<f64>) -> Vec<(f64, f64)> {
    let corner = rates.gflops / rates.gbps;
    [x.start, corner, x.end].into_iter().map(|x| (x, rates.roofline().at(x) / 1e9)).collect()
}

fn hint(layer: &LayerResult, op: Op, reached: &Reached) -> String {
    format!(
        "{} {}: {} GFLOP/s, {} FLOP/byte, {}% of the {} limit",
        layer.label(),
        op.name(),
        digits(reached.gflops),
        digits(reached.flops_per_byte),
        digits(reached.of_limit * 100.0),
        reached.limit
    )
}

/// A number without trailing zeros.
fn plain(value: f64) -> String {
    let text = digits(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// CPU time / GPU time of each layer as bars. `None` without bars.
pub(super) fn speed_ups(results: &Results, op: Op) -> Result<Option<Figure>, String> {
    let bars: Vec<(String, f64)> =
        results.results.iter().filter_map(|l| Some((l.label(), l.speed_up(op)?))).filter(|(_, s)| *s > 0.0).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    const ROW: u32 = 20;
    let height = bars.len() as u32 * ROW + 70;
    let low = bars.iter().map(|(_, s)| *s).fold(0.5, f64::min) / 1.2;
    let high = bars.iter().map(|(_, s)| *s).fold(2.0, f64::max) * 1.6;
    let title = format!("{}: CPU time / GPU time", op.name());
    let drawn = figure(&title, height, &[], |area, narrow| {
        let names = if narrow { 150 } else { 240 };
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(44)
            .y_label_area_size(names)
            .build_cartesian_2d((low..high).log_scale(), 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc("CPU time / GPU time")
            .x_labels(if narrow { 4 } else { 8 })
            .label_style(label_style(16))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|v| plain(*v))
            .draw()?;
        for (index, (name, speed_up)) in bars.iter().enumerate() {
            // The first layer is at the top.
            let y = (bars.len() - 1 - index) as f64;
            let fill = if *speed_up >= 1.0 { FASTER } else { SLOWER };
            let (from, to) = (speed_up.min(1.0), speed_up.max(1.0));
            chart.draw_series([Rectangle::new([(from, y + 0.2), (to, y + 0.8)], fill.filled())])?;
            let (x, _) = chart.backend_coord(&(low, 0.0));
            let (end, middle) = chart.backend_coord(&(to, y + 0.5));
            let middle = middle - 7;
            let most = if narrow { 21 } else { 34 };
            let short: String = if name.chars().count() > most {
                name.chars().take(most - 1).chain(['…']).collect()
            } else {
                name.clone()
            };
            let right = label_style(15).pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Top,
            ));
            area.draw(&Text::new(short, (x - 8, middle), right))?;
            area.draw(&Text::new(format!("{}x", digits(*speed_up)), (end + 4, middle), label_style(14)))?;
        }
        chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, bars.len() as f64)], INK.stroke_width(1)))?;
        Ok(())
    })?;
    Ok(Some(drawn))
}

/// Time over size, one plot for each swept size of a layer.
pub(super) fn sweeps(results: &Results) -> Result<Vec<Figure>, String> {
    let mut series: Vec<(String, Vec<&LayerResult>)> = Vec::new();
    for layer in &results.results {
        let Some(point) = &layer.sweep else { continue };
        let title = format!("{}: {} growing", point.of, point.axis);
        match series.iter_mut().find(|(known, _)| *known == title) {
            Some((_, layers)) => layers.push(layer),
            None => series.push((title, vec![layer])),
        }
    }
    series.iter().map(|(title, layers)| sweep(title, layers)).collect()
}

fn sweep(title: &str, layers: &[&LayerResult]) -> Result<Figure, String> {
    let value = |layer: &LayerResult| layer.sweep.as_ref().map_or(1.0, |point| point.value as f64);
    let gpu = |layer: &LayerResult, op| layer.measured(op).map(|m| m.reached.times.ms);
    let cpu = |layer: &LayerResult, op| layer.cpu.get(&op).map(|r| r.times.ms);
    let lines = |of: &dyn Fn(&LayerResult, Op) -> Option<f64>, op: Op| -> Vec<(f64, f64)> {
        layers.iter().filter_map(|layer| Some((value(layer), of(layer, op)?))).collect()
    };
    let all: Vec<f64> = Op::ALL
        .into_iter()
        .flat_map(|op| layers.iter().flat_map(move |l| [gpu(l, op), cpu(l, op)]))
        .flatten()
        .collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min).min(1e6) / 1.5;
    let high = all.iter().copied().fold(0.0, f64::max).max(low * 2.0) * 1.5;
    let (first, last) = (value(layers[0]), layers.last().map_or(1.0, |layer| value(layer)));
    let hints: Vec<String> = Op::ALL
        .into_iter()
        .flat_map(|op| {
            lines(&gpu, op).into_iter().map(move |(x, ms)| format!("{} at {x}: {} ms", op.name(), digits(ms)))
        })
        .collect();
    let axis = layers[0].sweep.as_ref().map_or("", |point| point.axis.as_str());
    figure(title, HEIGHT, &hints, |area, narrow| {
        let x = first..last.max(first * 2.0);
        let mut chart = log_log(area, x, decades(low, high), [axis, "ms"], narrow)?;
        for op in Op::ALL {
            let on_gpu = lines(&gpu, op);
            chart.draw_series(LineSeries::new(on_gpu.iter().copied(), color(op).stroke_width(2)))?;
            chart.draw_series(on_gpu.iter().map(|point| Circle::new(*point, 4, color(op).filled())))?;
            chart.draw_series(DashedLineSeries::new(lines(&cpu, op), 5, 5, color(op).stroke_width(1)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{layer, results};
    use super::super::results::{Point, Sides};
    use super::*;

    #[test]
    fn every_layer_is_a_point_with_its_name() {
        let results = results(vec![layer("one", &[1.0]), layer("t<w>o", &[2.0])]);
        for of_gpu in [true, false] {
            let figure = roofline(&results, of_gpu).unwrap().unwrap();
            for svg in [figure.wide, figure.narrow] {
                assert_eq!(svg.matches("<circle").count(), 2);
                assert!(svg.contains("<title>one fwd: ") && svg.contains("<title>t&lt;w&gt;o fwd: "), "{svg}");
                assert_eq!(svg.matches("</circle>").count(), 2);
            }
        }
    }

    #[test]
    fn every_layer_is_a_bar() {
        let results = results(vec![layer("one", &[1.0]), layer("two", &[2.0])]);
        let figure = speed_ups(&results, Op::Fwd).unwrap().unwrap();
        assert!(figure.wide.contains("one") && figure.wide.contains("two") && figure.wide.contains("1.00x"));
        assert_eq!(speed_ups(&results, Op::Wgrad).unwrap(), None);
    }

    #[test]
    fn sweeps_are_drawn_apart() {
        let point = |axis: &str, value, ms| LayerResult {
            sweep: Some(Point { axis: axis.into(), value, of: "base".into() }),
            ..layer(&format!("{axis} {value} of base"), &[ms])
        };
        let layers = vec![point("length", 256, 1.0), point("length", 512, 2.0), point("batch", 1, 1.0)];
        let figures = sweeps(&results(layers)).unwrap();
        assert_eq!(
            figures.iter().map(|f| f.title.as_str()).collect::<Vec<_>>(),
            ["base: length growing", "base: batch growing"]
        );
        assert_eq!(figures[0].wide.matches("<circle").count(), 2);
    }

    #[test]
    fn nothing_measured_is_nothing_drawn() {
        let mut none = results(vec![]);
        none.roofline = Sides::default();
        assert_eq!(roofline(&none, true).unwrap(), None);
        assert_eq!(speed_ups(&none, Op::Fwd).unwrap(), None);
        assert_eq!(sweeps(&none).unwrap(), []);
    }
}

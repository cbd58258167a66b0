//! Plots as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// Some lines over one x axis, which is logarithmic.
pub struct Panel {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Draws panels side by side, two in a row.
pub fn draw(file: &Path, panels: &[Panel]) {
    if let Err(error) = try_draw(file, panels) {
        panic!("{} cannot be drawn: {error}", file.display());
    }
}

fn try_draw(file: &Path, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns);
    let size = (WIDTH * columns as u32, HEIGHT * rows as u32);
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, area) in panels.iter().zip(area.split_evenly((rows, columns))) {
        let points = || panel.lines.iter().flat_map(|(_, points)| points);
        let least = points().map(|point| point.0).fold(f64::MAX, f64::min);
        let most = points().map(|point| point.0).fold(f64::MIN, f64::max);
        let high = points().map(|point| point.1).fold(f64::MIN, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(&panel.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(56)
            .build_cartesian_2d((least..most).log_scale(), 0.0..high * 1.08)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(panel.x)
            .y_desc(panel.y)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        for (at, (name, points)) in panel.lines.iter().enumerate() {
            let color = COLORS[at % COLORS.len()];
            chart
                .draw_series(LineSeries::new(
                    points.iter().copied(),
                    color.stroke_width(2),
                ))?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
            let dot = |point: &(f64, f64)| Circle::new(*point, 3, color.filled());
            chart.draw_series(points.iter().map(dot))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    area.present()?;
    Ok(())
}

fn short(figure: f64) -> String {
    match figure {
        1e6.. => format!("{}M", figure / 1e6),
        1e3.. => format!("{}k", figure / 1e3),
        10.0.. => format!("{figure:.0}"),
        _ => format!("{}", (figure * 100.0).round() / 100.0),
    }
}

const WIDTH: u32 = 560;
const HEIGHT: u32 = 360;
const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(127, 127, 127),
    RGBColor(148, 103, 189),
];

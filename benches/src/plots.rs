//! The pictures: ratio to each peer, flushes against batch size, throughput against file size.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use fs_err as fs;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use crate::cases::{many, single, stream};
use crate::contenders::{FEWEST, FULL};
use crate::places::{DISK, EXT4, LOOPS, XFS};
use crate::race::{Cell, Row};

const SIZE: (u32, u32) = (900, 480);
const COLORS: [RGBColor; 9] = [
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0x17, 0xbe, 0xcf),
];

/// Of those who save one by one: the others lie on the same line.
const DRAWN_ONE_BY_ONE: &[&str] = &[FULL, FEWEST];

/// A line, or a cloud of dots.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

pub(crate) fn draw(folder: &Path, cells: &[Cell]) -> Result<()> {
    fs::create_dir_all(folder)?;
    ratios(&folder.join("ratio.svg"), cells)?;
    lines(
        &folder.join("flushes.svg"),
        "flush requests for each durable file of 4 KiB",
        ("files saved together", "flush requests per file"),
        &flushes(cells),
    )?;
    lines(
        &folder.join("throughput.svg"),
        "durable create on the machine's own disk",
        ("size of the file, bytes", "MiB per second"),
        &throughput(cells),
    )
}

fn flushes(cells: &[Cell]) -> Vec<Series> {
    let mut all = Vec::new();
    for place in [EXT4, XFS] {
        for files in many::SIZES {
            let case = many::name(files, 1);
            for row in rows(cells, &case, place) {
                let drawn = many::BATCHES.contains(&&*row.contender)
                    || DRAWN_ONE_BY_ONE.contains(&&*row.contender);
                // The logarithm of none at all cannot be drawn.
                if let Some(flushes) = row.flushes.filter(|it| drawn && *it > 0.0) {
                    let name = format!("{} ({place})", row.contender);
                    push(&mut all, name, (files as f64, flushes));
                }
            }
        }
    }
    all
}

fn throughput(cells: &[Cell]) -> Vec<Series> {
    let mut all = Vec::new();
    let singles = single::SIZES[1..]
        .iter()
        .map(|(name, len)| (single::name("create", name, "Full"), *len as f64));
    let streams = stream::SIZES.iter().map(|(name, len)| (stream::name(name), *len as f64));
    for (case, len) in singles.chain(streams) {
        for row in rows(cells, &case, DISK) {
            let mib_per_second = len / (1 << 20) as f64 / (row.nanoseconds / 1e9);
            push(&mut all, row.contender.clone(), (len, mib_per_second));
        }
    }
    all
}

fn rows<'a>(cells: &'a [Cell], case: &str, place: &str) -> &'a [Row] {
    let cell = cells.iter().find(|cell| cell.case == case && cell.place == place);
    cell.map_or(&[], |cell| &cell.rows)
}

fn push(all: &mut Vec<Series>, name: String, point: (f64, f64)) {
    match all.iter_mut().find(|series| series.name == name) {
        Some(series) => series.points.push(point),
        None => all.push(Series { name, points: vec![point] }),
    }
}

/// The numbers that an axis has to show, and a little more.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    low / 1.3..high * 1.3
}

fn lines(path: &Path, title: &str, axes: (&str, &str), all: &[Series]) -> Result<()> {
    if all.is_empty() {
        eprintln!("SKIPPED {}: nothing of it was measured", path.display());
        return Ok(());
    }
    let points = || all.iter().flat_map(|series| &series.points);
    let (x, y) = (range(points().map(|it| it.0)), range(points().map(|it| it.1)));
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (plot, legend) = root.split_horizontally(560);
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x.log_scale(), y.log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc(axes.0)
        .y_desc(axes.1)
        .x_label_formatter(&|it| short(*it))
        .y_label_formatter(&|it| short(*it))
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    for (index, series) in all.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2));
        chart.draw_series(line.point_size(3)).map_err(failed)?;
    }
    let names: Vec<&str> = all.iter().map(|series| &*series.name).collect();
    key(&legend, &names)?;
    root.present().map_err(failed)
}

/// One line for each contender, a dot for each place.
fn ratios(path: &Path, cells: &[Cell]) -> Result<()> {
    let case = single::name("overwrite", "4 KiB", "Full");
    let places: Vec<&str> = std::iter::once(DISK).chain(LOOPS).collect();
    let mut names: Vec<&str> = Vec::new();
    for row in places.iter().flat_map(|place| rows(cells, &case, place).iter().skip(1)) {
        if !names.contains(&&*row.contender) {
            names.push(&row.contender);
        }
    }
    if names.is_empty() {
        eprintln!("SKIPPED {}: nothing of it was measured", path.display());
        return Ok(());
    }
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (labels, rest) = root.split_horizontally(320);
    let (plot, legend) = rest.split_horizontally(460);
    let mut chart = ChartBuilder::on(&plot)
        .caption("durable replace of 4 KiB: left of 1, wholefile is faster", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(44)
        .build_cartesian_2d(0.0..2.0, 0.0..names.len() as f64)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc("wholefile's time as a multiple of theirs")
        .x_labels(10)
        .x_label_formatter(&|it| format!("{it:.1}"))
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    let equal = [(1.0, 0.0), (1.0, names.len() as f64)];
    chart.draw_series(LineSeries::new(equal, BLACK.stroke_width(1))).map_err(failed)?;
    let height = |line: usize| names.len() as f64 - line as f64 - 0.5;
    for (index, place) in places.iter().enumerate() {
        let color = COLORS[index % COLORS.len()].filled();
        let dots = rows(cells, &case, place).iter().filter_map(|row| {
            let line = names.iter().position(|name| *name == row.contender)?;
            Some(Circle::new((row.ratio.min(1.98), height(line)), 5, color))
        });
        chart.draw_series(dots).map_err(failed)?;
    }
    for (line, name) in names.iter().enumerate() {
        let y = chart.backend_coord(&(1.0, height(line))).1;
        let text = Text::new((*name).to_owned(), (8, y - 7), ("sans-serif", 14));
        labels.draw(&text).map_err(failed)?;
    }
    key(&legend, &places)?;
    root.present().map_err(failed)
}

/// What the colors mean.
fn key(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, names: &[&str]) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        let y = 48 + 20 * index as i32;
        let color = COLORS[index % COLORS.len()].filled();
        area.draw(&Circle::new((8, y), 5, color)).map_err(failed)?;
        let text = Text::new((*name).to_owned(), (20, y - 6), ("sans-serif", 12));
        area.draw(&text).map_err(failed)?;
    }
    Ok(())
}

/// A number of an axis: 1000 is 1k, 1048576 is 1Mi.
fn short(number: f64) -> String {
    match number {
        it if it >= 1e9 => format!("{}G", it / 1e9),
        it if it >= 1e6 => format!("{}M", it / 1e6),
        it if it >= 1e3 => format!("{}k", it / 1e3),
        it => format!("{it}"),
    }
}

fn failed<E: std::error::Error>(error: E) -> anyhow::Error {
    anyhow!("{error}")
}

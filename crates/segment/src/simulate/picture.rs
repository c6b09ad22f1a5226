//! The picture of a simulation: two fields of circles, a circle for each class, its area how many devices fell.

use std::fmt::Write as _;

use domain::Criticality;

use super::{Reached, Simulation};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const LABELS: usize = 14;

/// Draws it.
pub(super) fn draw(simulation: &Simulation) -> String {
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-family=\"system-ui, sans-serif\">\
         <title>{}</title><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fbfaf7\"/>",
        escape(&format!("{} from {}", simulation.attack, simulation.from))
    );
    let most = largest(&simulation.before)
        .max(largest(&simulation.after))
        .max(1);
    field(
        &mut svg,
        simulation,
        &simulation.before,
        "Now: a flat network",
        0.0,
        most,
    );
    field(
        &mut svg,
        simulation,
        &simulation.after,
        "With the plan enforced",
        WIDTH / 2.0,
        most,
    );
    let _ = write!(
        svg,
        "<line x1=\"{0}\" y1=\"24\" x2=\"{0}\" y2=\"{1}\" stroke=\"#d8d4c8\"/>",
        WIDTH / 2.0,
        HEIGHT - 40.0
    );
    let mut x = 24.0;
    for (criticality, words) in [
        (Criticality::LifeCritical, "life-critical"),
        (Criticality::Clinical, "clinical"),
        (Criticality::Business, "business"),
        (Criticality::Administrative, "administrative"),
    ] {
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"6\" fill=\"{c}\"/><text x=\"{tx}\" y=\"{ty}\" font-size=\"12\" fill=\"#444\">{words}</text>",
            y = HEIGHT - 20.0,
            c = colour(criticality),
            tx = x + 12.0,
            ty = HEIGHT - 16.0
        );
        x += 130.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn largest(reached: &Reached) -> u32 {
    reached.by_class.values().copied().max().unwrap_or(0)
}

fn field(
    svg: &mut String,
    simulation: &Simulation,
    reached: &Reached,
    title: &str,
    left: f64,
    most: u32,
) {
    let _ = write!(
        svg,
        "<text x=\"{x}\" y=\"34\" font-size=\"18\" font-weight=\"600\" fill=\"#222\">{}</text>\
         <text x=\"{x}\" y=\"56\" font-size=\"13\" fill=\"#555\">{} from {}: {} of {} devices fall, {} of them life-critical</text>",
        escape(title),
        simulation.attack,
        escape(&simulation.from),
        reached.devices,
        simulation.exposed,
        reached.life_critical,
        x = left + 24.0
    );
    let centre = (left + WIDTH / 4.0, HEIGHT / 2.0 + 20.0);
    let mut classes: Vec<(&String, u32)> = reached.by_class.iter().map(|(c, n)| (c, *n)).collect();
    classes.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), (*class).clone()));
    // A sunflower: each next circle further out, turned by the golden angle.
    for (place, (class, count)) in classes.iter().enumerate() {
        let angle = place as f64 * 2.399_963;
        let out = 26.0 + 44.0 * (place as f64 + 0.6).sqrt();
        let (x, y) = (
            centre.0 + out * angle.cos(),
            centre.1 + out * angle.sin() * 0.9,
        );
        let radius = 3.0 + 34.0 * (f64::from(*count) / f64::from(most)).sqrt();
        let (name, criticality) = simulation
            .names
            .get(*class)
            .map_or((class.as_str(), Criticality::LifeCritical), |(n, c)| {
                (n.as_str(), *c)
            });
        let _ = write!(
            svg,
            "<line x1=\"{cx:.1}\" y1=\"{cy:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"#cfc9bb\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\" fill-opacity=\"0.75\"><title>{label}: {count}</title></circle>",
            cx = centre.0,
            cy = centre.1,
            fill = colour(criticality),
            label = escape(name)
        );
        if place < LABELS {
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{ty:.1}\" font-size=\"11\" text-anchor=\"middle\" fill=\"#222\">{label} {count}</text>",
                ty = y + radius + 12.0,
                label = escape(&name.chars().take(26).collect::<String>())
            );
        }
    }
    let _ = write!(
        svg,
        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"9\" fill=\"#111\"/>",
        centre.0, centre.1
    );
}

const fn colour(criticality: Criticality) -> &'static str {
    match criticality {
        Criticality::LifeCritical => "#b3261e",
        Criticality::Clinical => "#c77700",
        Criticality::Business => "#2f6f8f",
        Criticality::Administrative => "#7a7a7a",
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Control characters are not XML.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

//! Tables in Markdown: on the screen as they come, and in a file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::measure::{Range, Score};

/// Where the tables and the plots go.
pub struct Report {
    folder: PathBuf,
    text: String,
}

impl Report {
    pub fn new(folder: &Path, head: &str) -> Self {
        fs::create_dir_all(folder).expect("the folder of the results is writable");
        let mut report = Self {
            folder: folder.to_owned(),
            text: String::new(),
        };
        report.say(head);
        report
    }

    /// The file for a plot.
    pub fn plot(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("svg")
    }

    pub fn table(&mut self, table: &Table) {
        let mut text = format!("\n## {}\n\n{}\n\n", table.title, table.note);
        for (at, row) in [&table.head].into_iter().chain(&table.rows).enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if at == 0 {
                let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
            }
        }
        self.say(text.trim_end());
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
        let file = self.folder.join("results.md");
        fs::write(file, &self.text).expect("the folder of the results is writable");
    }
}

pub struct Table {
    title: String,
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: &str, note: &str, head: &[&str]) -> Self {
        Self {
            title: title.into(),
            note: note.into(),
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// A row for each contestant; `goals` are for those whose names begin so.
    pub fn race(title: &str, note: &str, by: By, scores: &[Score], goals: &[(&str, Goal)]) -> Self {
        let over = format!("{} over {}", by.word(), scores[0].name);
        let head = ["", by.unit(), &over, "range", "CPU, us", "goal", "met"];
        let mut table = Self::new(title, note, &head);
        for score in scores {
            let ratio = by.ratio(score);
            let goal = goals.iter().find(|(name, _)| score.name.starts_with(name));
            let (goal, met) = goal.map_or_else(Default::default, |(_, goal)| {
                (goal.to_string(), goal.says(ratio.median))
            });
            table.row([
                score.name.clone(),
                by.figure(score.time.median),
                format!("**{:.2}**", ratio.median),
                range(ratio),
                format!("{:.2}", score.cpu.median * 1e6),
                goal,
                met,
            ]);
        }
        table
    }
}

/// What a table counts.
#[derive(Clone, Copy)]
pub enum By {
    /// Time an operation.
    Time,
    /// Operations a second.
    Speed,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Speed => "speed",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Time => "us an operation",
            Self::Speed => "thousand a second",
        }
    }

    fn figure(self, seconds: f64) -> String {
        match self {
            Self::Time if seconds < 1e-6 => format!("{:.3}", seconds * 1e6),
            Self::Time => format!("{:.1}", seconds * 1e6),
            Self::Speed => format!("{:.0}", 1e-3 / seconds),
        }
    }

    fn ratio(self, score: &Score) -> Range {
        match self {
            Self::Time => score.ratio,
            Self::Speed => score.ratio.inverse(),
        }
    }
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            // As it is printed.
            Self::AtMost(most) => (figure * 100.0).round() <= most * 100.0,
            Self::AtLeast(least) => (figure * 100.0).round() >= least * 100.0,
        }
    }

    pub fn says(self, figure: f64) -> String {
        if self.is_met(figure) { "yes" } else { "**no**" }.into()
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

pub fn range(range: Range) -> String {
    format!("{:.2} to {:.2}", range.least, range.most)
}

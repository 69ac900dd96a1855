//! What the gateway is to reach, and what it reached.

use crate::say;

/// All goals that were measured.
#[derive(Default)]
pub(super) struct Goals {
    met: usize,
    missed: Vec<String>,
}

impl Goals {
    /// Takes a figure that is to be at most `goal`.
    pub(super) fn judge(&mut self, what: String, figure: f64, goal: f64) {
        if figure <= goal {
            self.met += 1;
        } else {
            self.missed.push(format!("{what}: {figure:.2}, goal {goal}"));
        }
    }

    /// Says how many were met, and which were not.
    pub(super) fn print(&self) {
        say::line(format_args!(
            "\n{} goals met, {} missed",
            self.met,
            self.missed.len()
        ));
        for missed in &self.missed {
            say::line(format_args!("- {missed}"));
        }
    }
}

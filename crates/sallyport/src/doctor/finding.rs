//! What was found, step by step, with the mend.

use std::fmt::Write as _;

use serde::Serialize;

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// As it should be.
    Ok,
    /// Some clients will have trouble, or all of them later.
    Warning,
    /// It keeps a client from working.
    Fails,
    /// It was not looked at; the text says why.
    Skipped,
}

impl Mark {
    fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warning => "!",
            Self::Fails => "✗",
            Self::Skipped => "-",
        }
    }
}

/// What is wrong: its name of a closed set, what was seen, and the mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ill {
    pub(crate) mark: Mark,
    pub(crate) verdict: &'static str,
    pub(crate) text: String,
    pub(crate) mend: String,
}

impl Ill {
    /// Something that keeps a client from working.
    pub(crate) fn fails(verdict: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            mark: Mark::Fails,
            verdict,
            text: text.into(),
            mend: mend.into(),
        }
    }

    /// Something that gives trouble to some, or later.
    pub(crate) fn warning(verdict: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            mark: Mark::Warning,
            ..Self::fails(verdict, text, mend)
        }
    }

    /// Something that was not looked at.
    pub(crate) fn skipped(text: impl Into<String>) -> Self {
        Self {
            mark: Mark::Skipped,
            ..Self::fails("skipped", text, "")
        }
    }

    /// The same, no worse than a warning.
    pub(crate) fn mild(self) -> Self {
        Self {
            mark: if self.mark == Mark::Fails {
                Mark::Warning
            } else {
                self.mark
            },
            ..self
        }
    }
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) area: &'static str,
    pub(crate) step: String,
    pub(crate) mark: Mark,
    /// `ok`, `skipped`, or what is wrong.
    pub(crate) verdict: &'static str,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mend: String,
}

/// Everything that was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    area: &'static str,
}

impl Report {
    /// What follows belongs to this part.
    pub(crate) fn begin(&mut self, area: &'static str) {
        self.area = area;
    }

    /// Takes a step down; what came of it goes on where it was good.
    pub(crate) fn take<T>(&mut self, step: impl Into<String>, judged: Result<(T, String), Ill>) -> Option<T> {
        match judged {
            Ok((value, text)) => {
                self.push(step, Mark::Ok, "ok", text);
                Some(value)
            }
            Err(ill) => {
                self.ill(step, ill);
                None
            }
        }
    }

    /// Takes a step down of which nothing comes.
    pub(crate) fn note(&mut self, step: impl Into<String>, judged: Result<String, Ill>) -> bool {
        self.take(step, judged.map(|text| ((), text))).is_some()
    }

    /// Takes something wrong down.
    pub(crate) fn ill(&mut self, step: impl Into<String>, ill: Ill) {
        self.push(step, ill.mark, ill.verdict, ill.text);
        if let Some(last) = self.findings.last_mut() {
            last.mend = ill.mend;
        }
    }

    fn push(&mut self, step: impl Into<String>, mark: Mark, verdict: &'static str, text: String) {
        self.findings.push(Finding {
            area: self.area,
            step: step.into(),
            mark,
            verdict,
            text: plain(&text),
            mend: String::new(),
        });
    }

    /// How many steps went so.
    pub(crate) fn count(&self, mark: Mark) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.mark == mark)
            .count()
    }

    /// Whether nothing keeps a client from working.
    pub(crate) fn is_good(&self) -> bool {
        self.count(Mark::Fails) == 0
    }

    /// The steps as text, under the names of their parts.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut area = "";
        for finding in &self.findings {
            if finding.area != area {
                let gap = if area.is_empty() { "" } else { "\n" };
                // Writing to text does not fail.
                let _ = writeln!(out, "{gap}{}", finding.area);
                area = finding.area;
            }
            let Finding { step, text, .. } = finding;
            let name = match finding.mark {
                Mark::Warning | Mark::Fails => format!(" [{}]", finding.verdict),
                Mark::Ok | Mark::Skipped => String::new(),
            };
            let _ = writeln!(out, "  {} {step}: {text}{name}", finding.mark.sign());
            if !finding.mend.is_empty() {
                let _ = writeln!(out, "      mend: {}", finding.mend);
            }
        }
        out
    }

    /// The counts in a line.
    pub(crate) fn summary(&self) -> String {
        let (fails, warnings) = (self.count(Mark::Fails), self.count(Mark::Warning));
        let plural = |count: usize, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {many}"),
        };
        format!(
            "{} ok, {}, {}",
            self.count(Mark::Ok),
            plural(warnings, "warning", "warnings"),
            plural(fails, "failure", "failures"),
        )
    }
}

/// What others sent is shown without anything that a terminal would obey, and not at length.
fn plain(text: &str) -> String {
    const LONGEST: usize = 400;
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_a_list_with_marks_and_mends() {
        let mut report = Report::default();
        report.begin("one");
        assert!(report.note("first", Ok("fine".to_owned())));
        assert!(!report.note("second", Err(Ill::fails("broken", "not \x1b[31mfine", "mend it"))));
        report.begin("two");
        report.ill("third", Ill::warning("slow", "late", ""));
        report.ill("fourth", Ill::skipped("nothing to see"));
        assert_eq!(
            report.text(),
            "one\n  ✓ first: fine\n  ✗ second: not [31mfine [broken]\n      mend: mend it\n\n\
             two\n  ! third: late [slow]\n  - fourth: nothing to see\n"
        );
        assert_eq!(report.summary(), "1 ok, 1 warning, 1 failure");
        assert!(!report.is_good());
    }

    #[test]
    fn a_warning_keeps_nobody_from_working() {
        let mut report = Report::default();
        report.ill("step", Ill::fails("x", "", "").mild());
        assert!(report.is_good());
        assert_eq!(report.count(Mark::Warning), 1);
    }
}

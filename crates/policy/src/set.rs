//! The rules of a profile, and the judgement by them.

use std::sync::Arc;

use sallyport_core::policy::{Access, Broken, Case, Conditions, Facts, Glob};

use crate::compile::Expression;
use crate::json;
use crate::people::People;
use crate::scope::Scope;
use crate::spelling::Spelling;
use crate::steps;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is about.
    pub subjects: Subjects,
    /// What is to become of the expression.
    pub wants: Wants,
    /// What is asked.
    pub expression: Expression,
    /// What the caller reads whose call it does not allow.
    pub message: Option<Arc<str>>,
}

/// What is to become of an expression for a call to be allowed. What cannot be evaluated is neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// It is true (`require`).
    True,
    /// It is false (`deny`).
    False,
}

/// What a rule is about, by the names that clients see, and resources also by those of their servers. Where nothing is named it is
/// about everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subjects {
    /// Patterns of tools.
    pub tools: Vec<Glob>,
    /// Patterns of prompts.
    pub prompts: Vec<Glob>,
    /// Patterns of URIs of resources and templates.
    pub resources: Vec<Glob>,
}

impl Subjects {
    fn cover(&self, case: &Case<'_>) -> bool {
        let Self {
            tools,
            prompts,
            resources,
        } = self;
        if tools.is_empty() && prompts.is_empty() && resources.is_empty() {
            return true;
        }
        let matches = |globs: &[Glob], name: &str| globs.iter().any(|glob| glob.matches(name));
        match case.access {
            Access::Tool(name) => matches(tools, name),
            Access::Prompt(name) => matches(prompts, name),
            Access::Resource(uri) | Access::Template(uri) => {
                matches(resources, uri) || matches(resources, case.own)
            }
        }
    }
}

/// The rules of one profile.
#[derive(Debug)]
pub struct RuleSet {
    profile: Box<str>,
    people: Arc<People>,
    /// Those that look neither at arguments nor at the time, each with its number.
    standing: Vec<(usize, Rule)>,
    /// The others.
    of_calls: Vec<(usize, Rule)>,
    /// The arguments that they name.
    spelling: Spelling,
}

impl RuleSet {
    /// The rules of a profile, in the order of the configuration.
    #[must_use]
    pub fn new(profile: &str, rules: Vec<Rule>, people: Arc<People>) -> Self {
        let numbered = (1..).zip(rules);
        let (of_calls, standing): (Vec<_>, Vec<_>) = numbered.partition(|(_, rule)| {
            let reads = rule.expression.reads();
            reads.args || reads.now
        });
        Self {
            spelling: Spelling::of(of_calls.iter().map(|(_, rule)| rule.expression.names())),
            profile: profile.into(),
            people,
            standing,
            of_calls,
        }
    }
}

impl Conditions for RuleSet {
    fn stand(&self, case: &Case<'_>) -> Result<(), Broken> {
        let is_template = matches!(case.access, Access::Template(_));
        // Which of the resources that a template stands for is meant, is not known yet.
        let known = |rule: &Rule| !(is_template && rule.expression.reads().resource);
        let rules = self.standing.iter();
        let mut rules = rules
            .filter(|(_, rule)| known(rule) && rule.subjects.cover(case))
            .peekable();
        if rules.peek().is_none() {
            return Ok(());
        }
        steps::begin();
        let scope = Scope::new(case, &self.profile, &self.people);
        for (number, rule) in rules {
            judge(*number, rule, rule.expression.evaluate(&scope))?;
        }
        Ok(())
    }

    fn hide(&self) -> bool {
        !self.standing.is_empty()
    }

    fn hold(&self, case: &Case<'_>, facts: &Facts<'_>) -> Result<(), Broken> {
        let mut rules = self
            .of_calls
            .iter()
            .filter(|(_, rule)| rule.subjects.cover(case))
            .peekable();
        if rules.peek().is_none() {
            return Ok(());
        }
        steps::begin();
        let mut scope = Scope::new(case, &self.profile, &self.people);
        scope.now = Some(facts.clock.now());
        for (number, rule) in rules {
            if rule.expression.reads().args && scope.args.is_none() {
                match json::arguments(facts.arguments, &self.spelling) {
                    Ok(args) => scope.args = Some(args),
                    Err(fault) => return judge(*number, rule, Err(fault)),
                }
            }
            judge(*number, rule, rule.expression.evaluate(&scope))?;
        }
        Ok(())
    }
}

fn judge(number: usize, rule: &Rule, found: Result<bool, &'static str>) -> Result<(), Broken> {
    if found == Ok(rule.wants == Wants::True) {
        return Ok(());
    }
    Err(Broken {
        rule: number,
        fault: found.err(),
        message: rule.message.clone(),
    })
}

#[cfg(test)]
mod tests;

//! `profiles.NAME.rules`: what is to hold of calls besides their names.

use std::borrow::Cow;
use std::sync::Arc;

use sallyport_core::policy::Glob;
use sallyport_policy::{Expression, Rule, Subjects, Wants, limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::problem::Collector;
use super::profiles::{Pattern, Profile};
use super::read::{Context, Fields, Read, section};
use super::tree::{Node, Place, Value};
use super::value::{Located, Text};

section! {
    /// One rule over calls: `require` or `deny`, and what it is about; with none of `tools`, `prompts` and `resources` it is about
    /// everything.
    RuleText {
        /// Patterns of the tools that it is about, by the name that clients see.
        tools: Option<Vec<Pattern>> = None;
        /// Patterns of the prompts that it is about, by the name that clients see.
        prompts: Option<Vec<Pattern>> = None;
        /// Patterns of the resources that it is about, by the URI that clients see or that of their server.
        resources: Option<Vec<Pattern>> = None;
        /// A CEL expression that has to be true.
        require: Option<Formula> = None;
        /// A CEL expression that has to be false.
        deny: Option<Formula> = None;
        /// What the caller reads whose arguments, or time, the rule does not allow.
        message: Option<Text> = None;
    }
    checked by check_rule;
}

/// An expression in CEL.
#[derive(Clone, Debug)]
pub struct Formula {
    expression: Expression,
    text: Text,
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
    }
}

impl Read for Formula {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = Text::read(node, cx)?;
        match Expression::compile(&text.value) {
            Ok(expression) => Some(Self { expression, text }),
            Err(error) => cx.refuse(node, error.to_string()),
        }
    }
}

impl Serialize for Formula {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl JsonSchema for Formula {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Formula".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"], "maxLength": limits::SOURCE })
    }
}

fn check_rule(rule: &RuleText, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    if fields.has("require") == fields.has("deny") {
        problems.add(
            place,
            "a rule has either `require` or `deny`; write one of them, and a second rule for the other",
        );
    }
    for (key, patterns) in [
        ("tools", &rule.tools),
        ("prompts", &rule.prompts),
        ("resources", &rule.resources),
    ] {
        // A list of which nothing is left because of other problems names something.
        let is_empty = |node: &Node| matches!(&node.value, Value::List(items) if items.is_empty());
        if patterns.is_some() && fields.get(key).is_some_and(is_empty) {
            problems.add(
                place,
                format!("`{key}` names nothing; write `{key}: [\"*\"]` for all, or remove the rule"),
            );
        }
    }
    let long = |message: &Text| message.value.chars().count() > limits::MESSAGE;
    if rule.message.as_ref().is_some_and(long) {
        problems.add(
            place,
            format!(
                "`message` is longer than {} characters; write a shorter one",
                limits::MESSAGE
            ),
        );
    }
}

/// What is to be said of all rules of a profile together.
pub(super) fn check(slug: &str, profile: &Located<Profile>, problems: &mut Collector) {
    let count = profile.value.rules.len();
    if count > limits::RULES {
        problems.add(
            profile.place,
            format!(
                "profile `{slug}` has {count} rules, and at most {} are judged; put several into one with `&&`",
                limits::RULES
            ),
        );
    }
}

impl RuleText {
    /// As the policy takes it; `None` where something is missing, which [`check_rule`] has told.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        let (formula, wants) = match (&self.require, &self.deny) {
            (Some(formula), None) => (formula, Wants::True),
            (None, Some(formula)) => (formula, Wants::False),
            _ => return None,
        };
        let globs = |patterns: &Option<Vec<Pattern>>| {
            let patterns = patterns.iter().flatten();
            patterns
                .filter_map(|pattern| Glob::parse(pattern.as_str()).ok())
                .collect()
        };
        Some(Rule {
            subjects: Subjects {
                tools: globs(&self.tools),
                prompts: globs(&self.prompts),
                resources: globs(&self.resources),
            },
            wants,
            expression: formula.expression.clone(),
            message: self
                .message
                .as_ref()
                .map(|message| Arc::from(message.value.as_str())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    fn profile(rules: &str) -> String {
        format!("profiles:\n  p:\n    servers: [\"*\"]\n    rules:\n{rules}")
    }

    #[test]
    fn cf_01_bad_rules_get_exact_messages() {
        for (rule, said) in [
            (
                "require: args.a >",
                "f.yaml:5:18: this is not CEL, from line 1, column 9 of the expression on: mismatched input '<EOF>'; \
                 write, for instance, `args.amount <= 100`",
            ),
            (
                "deny: arg.a > 1",
                "f.yaml:5:15: there is no variable `arg`; known here: `principal`, `profile`, `server`, `method`, `tool`, `prompt`, \
                 `resource`, `target`, `args`, `now`",
            ),
            (
                "require: principal.group == 'x'",
                "f.yaml:5:18: there is no `principal` with a field `group`; known here: `id`, `name`, `kind`, `groups`, `admin`, `client`, \
                 `scopes`",
            ),
            (
                "tools: [a]",
                "f.yaml:5:9: a rule has either `require` or `deny`; write one of them, and a second rule for the other",
            ),
            (
                "{ require: 'true', deny: 'false' }",
                "f.yaml:5:9: a rule has either `require` or `deny`; write one of them, and a second rule for the other",
            ),
            (
                "{ tools: [], require: 'true' }",
                "f.yaml:5:9: `tools` names nothing; write `tools: [\"*\"]` for all, or remove the rule",
            ),
            (
                "{ tools: [''], require: 'true' }",
                "f.yaml:5:19: a pattern has 1 to 128 characters; `*` is its only special character",
            ),
            (
                "{ when: x, require: 'true' }",
                "f.yaml:5:11: unknown key `when`; known here: `tools`, `prompts`, `resources`, `require`, `deny`, `message`",
            ),
            (
                "x",
                "f.yaml:5:9: found a single value; write a mapping with `tools`, `prompts`, `resources`, `require`, `deny`, `message`",
            ),
        ] {
            assert_eq!(refused(&profile(&format!("      - {rule}\n"))), said, "{rule}");
        }
    }

    #[test]
    fn messages_and_numbers_of_rules_at_the_limit_and_one_past_it() {
        let message = |length: usize| {
            profile(&format!(
                "      - {{ deny: 'false', message: {} }}\n",
                "é".repeat(length)
            ))
        };
        assert!(read(&message(limits::MESSAGE)).is_ok());
        assert_eq!(
            refused(&message(limits::MESSAGE + 1)),
            "f.yaml:5:9: `message` is longer than 300 characters; write a shorter one"
        );
        let rules = |count: usize| profile(&"      - deny: 'false'\n".repeat(count));
        assert!(read(&rules(limits::RULES)).is_ok());
        assert_eq!(
            refused(&rules(limits::RULES + 1)),
            "f.yaml:3:5: profile `p` has 65 rules, and at most 64 are judged; put several into one with `&&`"
        );
    }

    #[test]
    fn rules_are_read_and_shown_as_they_are_written() {
        let text = profile(
            "      - { tools: [send_*, pay], deny: \"args.n > 9\", message: Too much. }\n      - require: \"'${env:TOKEN}' in principal.groups\"\n",
        );
        let config = read(&text).expect("good");
        let profile = &config.root.profiles.iter().next().expect("one").value.value;
        let rules: Vec<Rule> = profile.rules.iter().filter_map(RuleText::rule).collect();
        let [first, second] = rules.as_slice() else {
            panic!("{rules:?}")
        };
        assert_eq!(
            (
                first.wants,
                first.subjects.tools.len(),
                first.subjects.prompts.len()
            ),
            (Wants::False, 2, 0)
        );
        assert_eq!(
            (first.expression.source(), first.message.as_deref()),
            ("args.n > 9", Some("Too much."))
        );
        assert_eq!(
            (second.wants, second.expression.source()),
            (Wants::True, "'t0p' in principal.groups")
        );
        assert_eq!(second.subjects, Subjects::default());
        assert!(!profile.is_open());
        let shown = serde_json::to_string(&profile.rules).expect("JSON");
        assert!(
            shown.contains("'${env:TOKEN}' in principal.groups") && !shown.contains("t0p"),
            "{shown}"
        );
    }
}

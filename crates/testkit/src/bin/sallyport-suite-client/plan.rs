//! What a scenario needs: what the operator configures for it, and what is called.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use url::Url;

use crate::person::fetch;

/// The only tool that is called where it is offered: with the schema of the first one.
const SCHEMA_ECHO: &str = "json_schema_echo";

/// The scenario whose server shows tools and cannot be called.
const SHOWN_ONLY: &str = "json-schema-ref-no-deref";

/// Scenarios that measure how headers follow from arguments: a client of the era before sends none of its own.
const OLD_CLIENT: [&str; 2] = ["http-custom-headers", "http-invalid-tool-headers"];

/// The scenario in which the client describes itself, and the address at which the suite supposes its document.
const DOCUMENT: (&str, &str) = (
    "auth/basic-cimd",
    "https://conformance-test.local/client-metadata.json",
);

/// What the scenarios begin with in which there is no person.
const OWN: [&str; 2] = ["auth/client-credentials-", "auth/wif-"];

/// What the suite says of a scenario.
pub(crate) struct Plan {
    url: Url,
    scenario: String,
    revision: String,
    context: Value,
}

impl Plan {
    /// Reads what the suite put into the environment.
    pub(crate) fn read(url: &str, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let context = environment("MCP_CONFORMANCE_CONTEXT");
        Ok(Self {
            url: Url::parse(url)?,
            scenario: environment("MCP_CONFORMANCE_SCENARIO").context("the scenario")?,
            revision: environment("MCP_CONFORMANCE_PROTOCOL_VERSION").context("the revision")?,
            context: context.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?,
        })
    }

    /// Whether the client before the gateway speaks 2026-07-28: as the server behind, so that nothing is translated.
    pub(crate) fn is_modern(&self) -> bool {
        self.revision == "2026-07-28" && !OLD_CLIENT.contains(&self.scenario.as_str())
    }

    /// The gateway's servers. What is to lie in a file is put into `folder`.
    pub(crate) async fn configuration(&self, folder: &Path) -> anyhow::Result<String> {
        let mut auth = json!({});
        if self.scenario == DOCUMENT.0 {
            auth = json!({ "client_id": DOCUMENT.1 });
        }
        let told = |name: &str| self.context.get(name).filter(|value| value.is_string());
        if let Some(id) = told("client_id") {
            auth = json!({ "issuer": self.issuer().await?, "client_id": id });
            set(&mut auth, "client_secret", told("client_secret"));
            set(&mut auth, "client_key", told("private_key_pem"));
        }
        if let Some(assertion) = told("valid_jwt").and_then(Value::as_str) {
            let file = folder.join("assertion");
            std::fs::write(&file, assertion)?;
            set(&mut auth, "assertion_file", Some(&json!(file)));
        }
        if OWN.iter().any(|own| self.scenario.starts_with(own)) {
            set(&mut auth, "accounts", Some(&json!("gateway")));
        }
        // JSON is YAML.
        let servers = json!({ "suite": { "url": self.url, "auth": auth } });
        Ok(format!("servers: {servers}\n"))
    }

    /// The authorization server that an operator would have registered the gateway at.
    async fn issuer(&self) -> anyhow::Result<String> {
        let place = format!("/.well-known/oauth-protected-resource{}", self.url.path());
        let document = fetch(&self.url.join(&place)?).await?.expect(200)?.json()?;
        let issuer = document
            .pointer("/authorization_servers/0")
            .and_then(Value::as_str);
        Ok(issuer.context("no authorization server is named")?.to_owned())
    }

    /// The calls: those that the suite names, else one of each tool.
    pub(crate) fn calls(&self, tools: &[Value]) -> Vec<(String, Value)> {
        if self.scenario == SHOWN_ONLY {
            return Vec::new();
        }
        let named = self.context.get("toolCalls").and_then(Value::as_array);
        if let Some(named) = named {
            let call = |call: &Value| Some((name(call)?, call.get("arguments").cloned().unwrap_or_default()));
            return named.iter().filter_map(call).collect();
        }
        let schema = |tool: &Value| tool.get("inputSchema").cloned().unwrap_or_default();
        if tools
            .iter()
            .any(|tool| name(tool).as_deref() == Some(SCHEMA_ECHO))
        {
            let first = tools.first().map(schema).unwrap_or_default();
            return vec![(SCHEMA_ECHO.to_owned(), json!({ "schema": first }))];
        }
        let call = |tool: &Value| Some((name(tool)?, filled(&schema(tool))));
        tools.iter().filter_map(call).collect()
    }
}

fn set(object: &mut Value, name: &str, value: Option<&Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.clone());
    }
}

fn name(of: &Value) -> Option<String> {
    Some(of.get("name")?.as_str()?.to_owned())
}

/// An object with a value for each property: its default where it has one.
pub(crate) fn filled(schema: &Value) -> Value {
    let value = |property: &Value| match property.get("type").and_then(Value::as_str) {
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(5),
        Some("object") => json!({}),
        Some("array") => json!([]),
        _ => json!("x"),
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let filled: Map<String, Value> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let default = property.get("default").cloned();
            (name.clone(), default.unwrap_or_else(|| value(property)))
        })
        .collect();
    Value::Object(filled)
}

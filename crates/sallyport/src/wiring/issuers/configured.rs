//! From the configuration to the issuers that are trusted.

use sallyport_core::ScopeSet;
use sallyport_oauth::foreign;
use url::Url;

use super::answers::Answers;
use super::keys::Keys;
use super::{Means, Trusted};
use crate::base::StartError;
use crate::config::issuers::{Issuer, Issuers};
use crate::wiring::endpoints::{DEFAULT, DEFAULT_PATH};
use crate::wiring::plan::resource;

/// The issuers of a configuration that was checked.
///
/// # Errors
/// [`StartError::Other`] if the origin cannot be part of a resource's URL.
pub(in crate::wiring) fn trusted(issuers: &Issuers, origin: &str) -> Result<Vec<Trusted>, StartError> {
    let rows = issuers.iter();
    let trusted = rows.filter_map(|row| {
        let issuer = &row.value.value;
        let means = means(issuer)?;
        Some(rules(&row.key, issuer, origin).map(|rules| Trusted { rules, means }))
    });
    trusted.collect()
}

fn rules(name: &str, issuer: &Issuer, origin: &str) -> Result<foreign::Issuer, StartError> {
    let mut resources = Vec::new();
    for profile in &issuer.profiles {
        resources.push(resource(origin, &format!("/mcp/{}", profile.value))?);
        if profile.value == DEFAULT {
            resources.push(resource(origin, DEFAULT_PATH)?);
        }
    }
    let identifier = issuer.issuer.as_ref().map(|issuer| issuer.value.clone());
    Ok(foreign::Issuer {
        name: name.to_owned(),
        issuer: identifier.unwrap_or_default(),
        audiences: issuer.audiences.clone(),
        resources,
        require_exp: issuer.require_exp,
        require_jti: issuer.require_jti,
        skew: issuer.skew.0.min(foreign::MAX_SKEW),
        user_claim: issuer.user_claim.clone(),
        scopes: ScopeSet::parse(&issuer.scopes),
    })
}

fn means(issuer: &Issuer) -> Option<Means> {
    if let Some(asked) = &issuer.introspection {
        let (url, secret) = (asked.url.as_ref()?, asked.client_secret.as_ref()?);
        let answers = Answers::new(url.url.clone(), &asked.client_id, &secret.value);
        return Some(Means::Answers(answers));
    }
    let identifier = Url::parse(&issuer.issuer.as_ref()?.value).ok()?;
    let set = issuer.jwks_uri.as_ref().map(|set| set.url.clone());
    let algorithms = issuer.algorithms.iter().map(|alg| alg.as_str()).collect();
    Some(Means::Keys(Keys::new(identifier, set, algorithms)))
}

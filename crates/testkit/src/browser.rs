//! A browser without JavaScript and without a screen: it follows redirects, keeps cookies and submits forms.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use url::Url;

use crate::http::{Answer, Connection, Request};

/// A form as the page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Where it is sent; empty: to the page itself.
    pub action: String,
    /// Its inputs with their values, hidden ones too.
    pub fields: Vec<(String, String)>,
    /// Its buttons: name and value.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// Whether there is an input `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Types `value` into `name`.
    #[must_use]
    pub fn fill(mut self, name: &str, value: &str) -> Self {
        for (_, typed) in self.fields.iter_mut().filter(|(field, _)| field == name) {
            value.clone_into(typed);
        }
        self
    }

    /// Presses a button.
    #[must_use]
    pub fn press(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A page: where it came from and what it says.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The response.
    pub answer: Answer,
}

impl Page {
    /// The forms of the page.
    #[must_use]
    pub fn forms(&self) -> Vec<Form> {
        html::forms(&self.answer.text())
    }

    /// The form with an input `name`.
    ///
    /// # Errors
    /// With the page, when there is none.
    pub fn form_with(&self, name: &str) -> anyhow::Result<Form> {
        let found = self.forms().into_iter().find(|form| form.has(name));
        found.with_context(|| {
            format!(
                "no form with {name}: {} {}",
                self.answer.status(),
                self.answer.text()
            )
        })
    }

    /// The form with the consent buttons.
    #[must_use]
    pub fn consent(&self) -> Option<Form> {
        let allow = ("decision".to_owned(), "allow".to_owned());
        self.forms()
            .into_iter()
            .find(|form| form.buttons.contains(&allow))
    }
}

/// The browser of one person, pointed at one gateway.
pub struct Browser {
    address: SocketAddr,
    origin: Url,
    cookies: BTreeMap<String, String>,
    /// Sent with every request, as `Sec-Fetch-Site`.
    site: &'static str,
}

impl Browser {
    /// A browser without cookies; `origin` is found at `address`.
    ///
    /// # Errors
    /// When `origin` is no URL.
    pub fn new(address: SocketAddr, origin: &str) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            origin: Url::parse(origin)?,
            cookies: BTreeMap::new(),
            site: "none",
        })
    }

    /// The cookies that it holds, by name.
    #[must_use]
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }

    /// Forgets all cookies.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    /// From now on navigations come from `site` (`none`, `same-origin`, `cross-site`).
    pub fn come_from(&mut self, site: &'static str) {
        self.site = site;
    }

    /// Opens `target` (path and query, or a URL of the gateway) and follows no redirect.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open(&mut self, target: &str) -> anyhow::Result<Page> {
        let url = self.origin.join(target)?;
        let site = self.site;
        self.send(&url, Request::get(&path(&url)), site).await
    }

    /// Submits `form` of `page` and follows no redirect.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn submit(&mut self, page: &Page, form: &Form) -> anyhow::Result<Page> {
        let url = if form.action.is_empty() {
            page.url.clone()
        } else {
            page.url.join(&form.action)?
        };
        let fields: Vec<_> = form
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let request =
            Request::post(&path(&url)).header("Origin", &self.origin.origin().ascii_serialization());
        self.send(&url, request.form(&fields), "same-origin").await
    }

    /// Follows redirects within the gateway. The last page, or the first address outside.
    ///
    /// # Errors
    /// When they do not end.
    pub async fn follow(&mut self, mut page: Page) -> anyhow::Result<Result<Page, Url>> {
        for _ in 0..10 {
            let Some(location) = page
                .answer
                .header("location")
                .filter(|_| (300..400).contains(&page.answer.status()))
            else {
                return Ok(Ok(page));
            };
            let next = page.url.join(location)?;
            if next.origin() != self.origin.origin() {
                return Ok(Err(next));
            }
            page = self
                .send(&next, Request::get(&path(&next)), "same-origin")
                .await?;
        }
        bail!("redirected more than ten times")
    }

    async fn send(&mut self, url: &Url, request: Request, site: &str) -> anyhow::Result<Page> {
        let mut request = request
            .header("Accept", "text/html,*/*;q=0.8")
            .header("Sec-Fetch-Site", site)
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "document");
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("Cookie", &cookies.join("; "));
        }
        let mut connection = Connection::open(self.address, self.origin.authority()).await?;
        let answer = connection.ask(&request).await?;
        for line in answer.head.all("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').context("a cookie has a name")?;
            if attributes.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(Page {
            url: url.clone(),
            answer,
        })
    }
}

fn path(url: &Url) -> String {
    url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    )
}

/// As much of HTML as our own pages use.
mod html {
    use super::Form;

    fn unescape(text: &str) -> String {
        let entities = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#34;", "\""),
            ("&#39;", "'"),
            ("&#x27;", "'"),
            ("&amp;", "&"),
        ];
        entities.iter().fold(text.to_owned(), |text, (entity, letter)| {
            text.replace(entity, letter)
        })
    }

    /// The value of an attribute in the inside of a tag; without a value it is empty.
    fn attribute(tag: &str, name: &str) -> Option<String> {
        let mut rest = tag;
        loop {
            rest = rest.trim_start();
            let end = rest
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(rest.len());
            let (found, after) = rest.split_at_checked(end)?;
            if found.is_empty() && after.is_empty() {
                return None;
            }
            let (value, next) = match after.trim_start().strip_prefix('=') {
                None => ("", after),
                Some(after) => match after.trim_start().strip_prefix('"') {
                    Some(quoted) => quoted.split_once('"')?,
                    None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
                },
            };
            if found.eq_ignore_ascii_case(name) {
                return Some(unescape(value));
            }
            rest = next;
        }
    }

    /// The insides of all tags `<name …>`.
    fn tags<'a>(html: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
        html.split('<').filter_map(move |piece| {
            let inside = piece.split_once('>').map_or(piece, |(inside, _)| inside);
            let rest = inside.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
        })
    }

    pub(super) fn forms(html: &str) -> Vec<Form> {
        let bodies = html
            .split("<form")
            .skip(1)
            .map(|rest| rest.split_once("</form").map_or(rest, |(form, _)| form));
        bodies
            .map(|form| {
                let (head, body) = form.split_once('>').unwrap_or((form, ""));
                let pair = |tag: &str| {
                    Some((
                        attribute(tag, "name")?,
                        attribute(tag, "value").unwrap_or_default(),
                    ))
                };
                Form {
                    action: attribute(head, "action").unwrap_or_default(),
                    fields: tags(body, "input").filter_map(pair).collect(),
                    buttons: tags(body, "button").filter_map(pair).collect(),
                }
            })
            .collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_form_with_everything() {
            let html = r#"<p><form method="post" action="/login?a=1&amp;b=2"><input type="hidden" name="t" value="x&quot;y">
                <input name=username required><button name="decision" value="allow" autofocus>Yes</button></form><form></form>"#;
            let forms = forms(html);
            let [form, empty] = &forms[..] else {
                panic!("{forms:?}")
            };
            assert_eq!(form.action, "/login?a=1&b=2");
            assert_eq!(
                form.fields,
                [
                    ("t".to_owned(), "x\"y".to_owned()),
                    ("username".to_owned(), String::new())
                ]
            );
            assert_eq!(form.buttons, [("decision".to_owned(), "allow".to_owned())]);
            assert_eq!(*empty, Form::default());
        }
    }
}

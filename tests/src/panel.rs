//! Somebody who looks at the panel, as a browser without scripts does: with cookies, forms, and where redirects lead.

use std::collections::BTreeMap;

use painel_shared::ids::TenantId;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header::HeaderMap, redirect::Policy};
use url::{Url, form_urlencoded};

/// Who somebody chooses to be at the login site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An administrator.
    Admin,
    /// An operator.
    Support,
    /// An administrator of that tenant.
    Of(TenantId),
    /// Another user of that tenant.
    UserOf(TenantId),
}

/// A page, or what was answered in its place.
#[derive(Debug)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The text.
    pub text: String,
}

impl Page {
    /// Where it leads; empty where it leads nowhere.
    pub fn location(&self) -> &str {
        self.headers.get("location").map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> &str {
        let begin = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("no {name} in {}", self.text));
        rest.split_once('"').unwrap().0
    }

    /// Where its links lead within the panel.
    pub fn links(&self) -> Vec<String> {
        let parts = self.text.split(" href=\"").skip(1).filter_map(|part| part.split_once('"'));
        let links = parts.map(|(href, _)| href.replace("&#38;", "&").replace("&amp;", "&"));
        links.filter(|href| href.starts_with("/app")).collect()
    }
}

/// Somebody with a browser of their own.
#[derive(Clone)]
pub struct Visitor {
    http: reqwest::Client,
    /// The panel's origin.
    pub url: String,
    /// The cookies, as they are kept.
    pub cookies: BTreeMap<String, String>,
}

impl Visitor {
    /// Somebody who has never been there.
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { http, url: url.to_owned(), cookies: BTreeMap::new() }
    }

    /// The same somebody, at another replica.
    pub fn at(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    /// Somebody who has signed in.
    pub async fn signed_in(url: &str, who: Who) -> Self {
        let mut visitor = Self::new(url);
        let arrived = visitor.sign_in(who, "/app").await;
        assert_eq!((arrived.status.as_u16(), arrived.location()), (303, "/app"), "{}", arrived.text);
        visitor
    }

    /// Signs in on the way to a page; how that ends.
    pub async fn sign_in(&mut self, who: Who, wanted: &str) -> Page {
        let back = self.until_back(who, wanted).await;
        self.get(&back).await
    }

    /// Signs in as far as the way back from the login site, and tells that.
    pub async fn until_back(&mut self, who: Who, wanted: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return", wanted).finish();
        let departure = self.get(&format!("/app/login?{query}")).await;
        assert_eq!(departure.status, 303, "{}", departure.text);
        let site = Url::parse(departure.location()).unwrap();
        let mut form: Vec<(String, String)> = site.query_pairs().into_owned().collect();
        let (role, tenant) = match who {
            Who::Admin => ("admin", None),
            Who::Support => ("support", None),
            Who::Of(tenant) => ("tenant", Some(tenant)),
            Who::UserOf(tenant) => ("user", Some(tenant)),
        };
        form.push(("who".to_owned(), role.to_owned()));
        form.extend(tenant.map(|tenant| ("tenant".to_owned(), tenant.to_string())));
        let asked = self.http.post(site.as_str().split('?').next().unwrap());
        let chosen = asked.header("Content-Type", FORM).body(encoded(&form)).send().await.unwrap();
        let back = chosen.headers()["location"].to_str().unwrap().to_owned();
        back.strip_prefix(&self.url).unwrap_or_else(|| panic!("{back} does not lead back")).to_owned()
    }

    /// A request that is still to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { request } else { request.header("Cookie", cookies.join("; ")) }
    }

    /// Sends a request, and keeps the cookies of the answer.
    pub async fn send(&mut self, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        self.keep(&response);
        let (status, headers) = (response.status(), response.headers().clone());
        Page { status, headers, text: response.text().await.unwrap() }
    }

    /// `GET`, where nothing leads on by itself.
    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// `POST` of a form of the panel itself.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let request = self.form(path, form).header("Sec-Fetch-Site", "same-origin");
        self.send(request).await
    }

    /// A form that is still to be sent, and does not say yet where it comes from.
    pub fn form(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let form: Vec<_> = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.request(Method::POST, path).header("Content-Type", FORM).body(encoded(&form))
    }

    fn keep(&mut self, response: &Response) {
        for line in response.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(attribute), "{line}");
            }
            assert!(!attributes.contains("Domain"), "{line}");
            match attributes.contains("Max-Age=0") {
                true => drop(self.cookies.remove(name)),
                false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn encoded(form: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

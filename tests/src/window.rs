//! A window of a real browser, driven over WebDriver: looked at, typed into, and judged by axe.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use thirtyfour::{
    By, CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement,
    error::WebDriverResult,
};

use crate::{panel::Who, port::free_port, wait::eventually};

/// Far more than a page takes.
const LONG: Duration = Duration::from_secs(60);
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// The driver's process; ended when it is dropped.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A window.
pub struct Window {
    driver: WebDriver,
    /// The panel's origin.
    url: String,
    axe: String,
    _process: Driver,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Window {
    /// An empty window. `PAINEL_TEST_CHROMEDRIVER` and `PAINEL_TEST_CHROMIUM` name the programs, if they are not
    /// `chromedriver` and `chromium` on the path; `PAINEL_TEST_AXE` the script of axe.
    pub async fn open(url: &str) -> Self {
        let named = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let (program, port) = (named("PAINEL_TEST_CHROMEDRIVER", "chromedriver"), free_port());
        let process = Command::new(&program)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is missing ({error}): run tests/run.sh, which installs it"));
        let process = Driver(process);
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in ARGUMENTS {
            capabilities.add_arg(argument).unwrap();
        }
        let chromium = which(&named("PAINEL_TEST_CHROMIUM", "chromium"));
        capabilities.set_binary(&chromium).unwrap();
        capabilities.set("goog:loggingPrefs", json!({"browser": "ALL"})).unwrap();
        let at = format!("http://127.0.0.1:{port}");
        let driver = eventually("the driver of the browser", LONG, || {
            let (at, capabilities) = (at.clone(), capabilities.clone());
            async move { WebDriver::new(at, capabilities).await.ok() }
        })
        .await;
        let axe = std::fs::read_to_string(axe()).expect("axe: run tests/run.sh, which fetches it");
        Self { driver, url: url.to_owned(), axe, _process: process }
    }

    /// Signs in, by what the login site shows.
    pub async fn sign_in(&self, who: Who) {
        self.go("/app").await;
        let role = match who {
            Who::Admin => "admin",
            Who::Support => "support",
            Who::Of(_) => "tenant",
            Who::UserOf(_) => "user",
        };
        self.find(&format!("input[value={role}]")).await.click().await.unwrap();
        if let Who::Of(tenant) | Who::UserOf(tenant) = who {
            self.find(&format!("option[value='{tenant}']")).await.click().await.unwrap();
        }
        self.find("button[type=submit]").await.click().await.unwrap();
        self.until("to be signed in", "return location.pathname.startsWith('/app/')").await;
    }

    /// Opens a page of the panel.
    pub async fn go(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.url)).await.unwrap();
    }

    /// So wide, in that scheme.
    pub async fn look(&self, width: u32, scheme: Scheme) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let value = if scheme == Scheme::Dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    async fn tell(&self, command: &str, parameters: Value) {
        self.driver.cdp().send_raw(command, parameters).await.unwrap();
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// What a script hands to its last argument.
    pub async fn run_async(&self, script: &str) -> Value {
        self.driver.execute_async(script, Vec::new()).await.unwrap().json().clone()
    }

    /// As for somebody whose browser runs no scripts of pages.
    pub async fn switch_scripts_off(&self) {
        self.tell("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }

    /// Forgets what was fetched: the next page is a first visit of somebody who is signed in.
    pub async fn forget_files(&self) {
        self.tell("Network.clearBrowserCache", json!({})).await;
    }

    /// Opens an address of any origin.
    pub async fn go_to(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Waits until a script returns true. A page that is just being left answers nothing.
    pub async fn until(&self, what: &str, script: &str) {
        eventually(what, LONG, || async {
            let returned: WebDriverResult<_> = self.driver.execute(script, Vec::new()).await;
            returned.ok().filter(|returned| *returned.json() == json!(true)).map(|_| ())
        })
        .await;
    }

    /// The first element of that selector, once it is there.
    pub async fn find(&self, selector: &str) -> WebElement {
        eventually(selector, LONG, || async { self.driver.find(By::Css(selector.to_owned())).await.ok() }).await
    }

    /// Types into whatever has the focus.
    pub async fn type_keys(&self, keys: impl Into<thirtyfour::TypingData>) {
        self.driver.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// What axe finds wrong with the page: rule and element, one a line.
    pub async fn violations(&self) -> Vec<String> {
        self.driver.execute(self.axe.clone(), Vec::new()).await.unwrap();
        let script = "const done = arguments[arguments.length - 1];
            axe.run({resultTypes: ['violations']}).then(found => done(found.violations.flatMap(one =>
                one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`))), error => done([String(error)]));";
        let found = self.driver.execute_async(script, Vec::new()).await.unwrap();
        serde_json::from_value(found.json().clone()).unwrap()
    }

    /// What the browser has complained about since it was last asked, refused resources and policies among them.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.driver.get_log("browser").await.unwrap();
        entries.into_iter().map(|entry| format!("{entry:?}")).collect()
    }

    /// By how many pixels the page is wider than its window.
    pub async fn overflow(&self) -> i64 {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.run(script).await.as_i64().unwrap()
    }

    /// Keeps a picture of the page, for looking at.
    pub async fn picture(&self, name: &str) {
        let folder = repository().join("target/panel");
        std::fs::create_dir_all(&folder).unwrap();
        let png = self.driver.screenshot_as_png().await.unwrap();
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the script of axe is.
fn axe() -> PathBuf {
    std::env::var_os("PAINEL_TEST_AXE")
        .map_or_else(|| repository().join("target/axe/node_modules/axe-core/axe.min.js"), PathBuf::from)
}

/// The whole path of a program: the driver looks for none.
fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| program.into()).display().to_string()
}

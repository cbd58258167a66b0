//! A browser without a window: Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::process::Group;

/// A chromedriver on a port of its own, and the browsers that it has started. They end when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    _driver: Group,
    url: String,
}

impl Browser {
    /// Starts chromedriver.
    ///
    /// # Panics
    /// If it is not installed; with what to do about it.
    pub(crate) fn start() -> Self {
        for program in ["chromedriver", "chromium"] {
            let found = Command::new(program).arg("--version").output();
            assert!(
                found.is_ok(),
                "there is no {program} here, and the page is tested in a browser: install Debian's \
                 packages chromium and chromium-driver, as tests/run does"
            );
        }
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped());
        let mut driver = Group::start(&mut command);
        let said = driver.child.stdout.take().expect("it is piped");
        let mut said = BufReader::new(said).lines().map_while(Result::ok);
        let port = said
            .find_map(|line| {
                let (_, rest) = line.split_once("started successfully on port ")?;
                Some(rest.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        // Who does not read it on makes it wait.
        thread::spawn(move || said.for_each(drop));
        Self {
            _driver: driver,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// A window of this size, for somebody who likes it `dark` or not.
    pub(crate) async fn open(&self, dark: bool) -> Client {
        let arguments = [
            "--headless=new",
            // Its sandbox needs rights that a container and root do not have.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1160,1600",
            "--hide-scrollbars",
            if dark {
                "--force-dark-mode"
            } else {
                "--lang=en"
            },
        ];
        let Value::Object(wishes) = json!({ "goog:chromeOptions": { "args": arguments } }) else {
            unreachable!("it is an object")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let opened = builder.capabilities(wishes).connect(&self.url).await;
        opened.expect("chromium starts")
    }
}

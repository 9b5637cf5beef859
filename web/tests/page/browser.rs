//! Headless Chromium, controlled over WebDriver (<https://www.w3.org/TR/webdriver2/>), and a static file server.

use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The page as `make web` builds it.
fn page() -> PathBuf {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/page");
    assert!(page.join("conv1d_web_bg.wasm").exists(), "{} is missing: `make web` builds it", page.display());
    page
}

/// Starts a server of the page's files, once for all tests; returns its address.
fn server() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let (page, listener) = (page(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            // One thread and one request per connection: browsers open connections that they do not use.
            for connection in listener.incoming().map_while(Result::ok) {
                let page = page.clone();
                std::thread::spawn(move || answer(connection, &page));
            }
        });
        address
    })
}

fn answer(mut connection: TcpStream, page: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = request.split([' ', '?']).nth(1).unwrap_or("").trim_start_matches('/');
    let file = page.join(if name.is_empty() { "index.html" } else { name });
    let kind = match file.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let (status, body) = std::fs::read(&file).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    connection.write_all(&body)
}

/// Longest wait for a condition. A software adapter on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(100);

/// Options of a browser.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// Without WebGPU.
    pub(crate) without_gpu: bool,
    /// A phone of 390 by 844 points.
    pub(crate) phone: bool,
    /// Prefers dark colours.
    pub(crate) dark: bool,
}

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    /// Browsers run one at a time: they share the processor.
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Opens the page at one of its parts.
    pub(crate) fn open(part: &str, look: Look) -> Browser {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let chromedriver = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        let mut driver = Command::new(&chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{chromedriver}: {e}; `make test-web` installs it"));
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = lines
            .map_while(Result::ok)
            .find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok())
            .expect("chromedriver says which port it listens on");
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(120)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut browser = Browser { driver, session: format!("http://127.0.0.1:{port}/session"), agent, _turn: turn };

        let mut options: Value = serde_json::from_str(include_str!("../../../webdriver.json")).unwrap();
        let chrome = &mut options["goog:chromeOptions"];
        let args = chrome["args"].as_array_mut().unwrap();
        if look.without_gpu {
            args.retain(|arg| !arg.as_str().unwrap().contains("webgpu"));
        }
        // A fake microphone that beeps, with permission to use it.
        args.extend(
            ["use-fake-ui-for-media-stream", "use-fake-device-for-media-stream", "window-size=1200,900"]
                .map(Value::from),
        );
        if look.dark {
            args.push("blink-settings=preferredColorScheme=0".into());
        }
        if look.phone {
            let metrics = json!({"width": 390, "height": 844, "pixelRatio": 2, "touch": true});
            chrome["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
        options["goog:loggingPrefs"] = json!({"browser": "ALL"});
        let session = browser.command("", json!({"capabilities": {"alwaysMatch": options}}));
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser.command("/url", json!({"url": format!("{}#{part}", server())}));
        browser
    }

    fn command(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut response = self.agent.post(&url).send_json(&body).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut answer: Value = response.body_mut().with_config().limit(1 << 30).read_json().unwrap();
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    /// Runs a script; returns its value, or that of its promise.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", json!({"script": script, "args": []}))
    }

    /// The visible text of an element.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.run(&format!("return document.querySelector({selector:?}).innerText"));
        text.as_str().unwrap_or_else(|| panic!("{selector} has no text")).trim().to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            let shown = || self.run("return document.body.innerText");
            assert!(start.elapsed() < PATIENCE, "still not: {expression}\n{}\n{:?}", shown(), self.complaints());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.command("/element", json!({"using": "css selector", "value": selector}));
        let id = found.as_object().unwrap().values().next().unwrap();
        format!("/element/{}", id.as_str().unwrap())
    }

    /// Clicks an element as a user would: a hidden or covered one is an error.
    pub(crate) fn click(&self, selector: &str) {
        self.command(&format!("{}/click", self.element(selector)), json!({}));
    }

    /// Presses keys in an element; a file input takes paths.
    pub(crate) fn keys(&self, selector: &str, keys: &str) {
        self.command(&format!("{}/value", self.element(selector)), json!({"text": keys}));
    }

    /// Replaces the text of a field and presses Enter.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        // Control+A, release, the text, Enter.
        self.keys(selector, &format!("\u{e009}a\u{e000}{text}\u{e007}"));
    }

    /// Chooses an option of a list.
    pub(crate) fn choose(&self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value={value:?}]"));
    }

    /// Presses the pointer at one place of an element, given as shares of its size, and releases it at another.
    pub(crate) fn drag(&self, selector: &str, from: [f64; 2], to: [f64; 2]) {
        let script = format!(
            "const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}});
             const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        );
        let area: Vec<f64> = serde_json::from_value(self.run(&script)).unwrap();
        let at = |[x, y]: [f64; 2], duration: u32| {
            let (x, y) = ((area[0] + x * area[2]) as i64, (area[1] + y * area[3]) as i64);
            json!({"type": "pointerMove", "duration": duration, "origin": "viewport", "x": x, "y": y})
        };
        let press = |kind: &str| json!({"type": kind, "button": 0});
        let actions = [at(from, 0), press("pointerDown"), at(to, 100), press("pointerUp")];
        self.command("/actions", json!({"actions": [{"type": "pointer", "id": "hand", "actions": actions}]}));
    }

    /// Saves a screenshot of the whole page.
    pub(crate) fn picture(&self, name: &str) {
        let size = self.run("return [innerWidth, document.documentElement.scrollHeight]");
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let params = json!({"captureBeyondViewport": true, "clip": clip});
        let shot = self.command("/goog/cdp/execute", json!({"cmd": "Page.captureScreenshot", "params": params}));
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/page-screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }

    /// Errors and warnings in the browser's console since the last call.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.command("/se/log", json!({"type": "browser"}));
        let loud =
            log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        loud.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.agent.delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

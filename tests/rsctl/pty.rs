//! The shell at a terminal.

use std::io::{Read as _, Write as _};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::process::OwnedChild;
use crate::support::{Store, eventually};
use crate::tool::{RSCTL, SOON, bare};

/// The shell at a terminal of its own, which `script` makes.
pub(crate) struct Pty {
    child: OwnedChild,
    stdin: Mutex<ChildStdin>,
    said: Arc<Mutex<String>>,
    /// How much of it was waited for already.
    heard: Mutex<usize>,
}

impl Pty {
    pub(crate) fn start(server: &Store, folder: &std::path::Path) -> Self {
        let endpoint = server.endpoint();
        let mut command = bare("script");
        command
            .args(["-q", "-e", "-f", "-c"])
            .arg(format!(
                "trap : INT; stty cols 120; '{RSCTL}' --endpoints {endpoint} shell --history history; code=$?; \
                 echo the mode after it: $(stty -a | grep -o -e '-*icanon'); exit $code"
            ))
            .arg("/dev/null")
            .current_dir(folder)
            // What runs the line above. A shell that has no trap ends when its child was interrupted,
            // whatever the child made of that; bash is an exception.
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = OwnedChild::spawn(command).unwrap();
        let stdin = Mutex::new(child.inner().stdin.take().unwrap());
        let mut stdout = child.inner().stdout.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = stdout.read(&mut buffer) {
                if read == 0 {
                    return;
                }
                to.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let heard = Mutex::new(0);
        Self {
            child,
            stdin,
            said,
            heard,
        }
    }

    pub(crate) fn types(&self, text: &str) {
        let mut stdin = self.stdin.lock().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until it shows this, after what was waited for before.
    pub(crate) async fn says(&self, part: &str) {
        eventually(SOON, &format!("'{part}' on the terminal"), async || {
            let said = self.said.lock().unwrap();
            let mut heard = self.heard.lock().unwrap();
            match said[*heard..].find(part) {
                Some(at) => {
                    *heard += at + part.len();
                    Ok(())
                }
                None => Err(said.clone()),
            }
        })
        .await;
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The shell's process: the child of sh, which is the child of `script`.
    pub(crate) fn shell(&self) -> u32 {
        let child = |pid: u32| -> u32 {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let children = std::fs::read_to_string(path).unwrap();
            children.split_whitespace().next().unwrap().parse().unwrap()
        };
        child(child(self.child.pid()))
    }

    pub(crate) async fn end(mut self) -> std::process::ExitStatus {
        self.child.end("the terminal to end", SOON).await
    }
}

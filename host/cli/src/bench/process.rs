//! Rows that look at a process from outside: how long it takes to start, and how much memory it holds.
//!
//! The process is this binary, started as a person starts it. One that does not do what is waited for within
//! [`PATIENCE`] is an error.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use wasm_edge_hub::hub::registry::MODULES_PER_DEVICE_MAX;

use super::Components;
use super::report::Figure;
use super::rows::Row;

/// How long a process may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// How often is looked for what no line tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A `run` of this binary; ended when dropped.
struct Run {
    child: Child,
    lines: mpsc::Receiver<String>,
    begun: Instant,
}

impl Run {
    /// Starts it. What it prints is read by a thread that ends with it.
    fn start(args: &[&str], data: &Path, input: Option<&str>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").args(args);
        command.arg("--data-dir").arg(data);
        command.args(["--output", "json", "--quiet"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .context("cannot start this binary once more")?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            use std::io::Write;
            stdin.write_all(text.as_bytes())?;
        }
        let stdout = child.stdout.take().context("it has no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || pass_on(BufReader::new(stdout).lines(), &sender));
        Ok(Self {
            child,
            lines,
            begun,
        })
    }

    /// Waits for a line that is so; answers with the time since the start.
    fn wait_for(&mut self, is_so: impl Fn(&str) -> bool) -> anyhow::Result<Duration> {
        let deadline = self.begun + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if is_so(&line) => return Ok(self.begun.elapsed()),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("waited {} s in vain", PATIENCE.as_secs())
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    bail!("the process ended before its time: {}", self.child.wait()?)
                }
            }
        }
    }

    /// Waits until so many modules are ready.
    fn wait_ready(&mut self, modules: usize) -> anyhow::Result<()> {
        for _ in 0..modules {
            self.wait_for(|line| line.contains(r#""text":"ready""#))?;
        }
        Ok(())
    }

    /// Its proportional share of memory in KiB.
    fn pss_kib(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number
            .and_then(|number| number.trim().parse().ok())
            .with_context(|| format!("`{path}` has no `Pss`"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        // Gone already, it has nothing to be told.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn pass_on(lines: Lines<BufReader<ChildStdout>>, sender: &mpsc::Sender<String>) {
    for line in lines.map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}

/// From the start of the process to its first message upstream. Each time is a new process; `Cold` finds an empty
/// data folder, `Warm` one where the same was run before.
pub(super) fn start(
    components: &Components,
    row: &'static Row,
    start: Start,
    repetitions: usize,
) -> anyhow::Result<Figure> {
    let mut samples = Vec::new();
    let warm = tempfile::tempdir()?;
    if start == Start::Warm {
        first_message(components, warm.path())?;
    }
    for _ in 0..repetitions {
        let cold = tempfile::tempdir()?;
        let data = match start {
            Start::Cold => cold.path(),
            Start::Warm => warm.path(),
        };
        samples.push(first_message(components, data)?.as_secs_f64() * 1e3);
    }
    Ok(Figure::new(row, samples))
}

/// What a process finds when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// An empty data folder.
    Cold,
    /// The data folder of an earlier run.
    Warm,
}

fn first_message(components: &Components, data: &Path) -> anyhow::Result<Duration> {
    let load = components.load.display().to_string();
    let message = json!({ "input": "forward", "body": { "n": 1 } }).to_string() + "\n";
    let args = [load.as_str(), "--name", "m", "--device", "bench"];
    let args = [&args[..], &["--input", "-", "--for", "60s"]].concat();
    let mut run = Run::start(&args, data, Some(&message))?;
    run.wait_for(|line| upstream(line).is_some())
}

/// The upstream message in a line of `run --output json`.
fn upstream(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["stream"] == "upstream" || line["text"].as_str()?.starts_with("upstream "))
        .then_some(line)
}

/// The memory of a process with so many modules of one image.
pub(super) fn memory(components: &Components, modules: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut args = Vec::new();
    for (index, count) in per_device(modules).into_iter().enumerate() {
        let file = folder.path().join(format!("{index}.json"));
        std::fs::write(&file, empty_modules(components, count).to_string())?;
        args.push(format!("--device=bench{index}={}", file.display()));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    settled(&args, modules, &folder.path().join("data"))
}

/// The memory of a process that runs a deployment.
pub(super) fn memory_of(manifest: &Path) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let text = std::fs::read_to_string(manifest)
        .with_context(|| format!("cannot read `{}`", manifest.display()))?;
    let manifest_json: Value = serde_json::from_str(&text)
        .with_context(|| format!("`{}` is not JSON", manifest.display()))?;
    let desired = &manifest_json["modulesContent"]["$edgeAgent"]["properties.desired"];
    let modules = desired["modules"]
        .as_object()
        .map_or(0, |modules| modules.len());
    let file = manifest.display().to_string();
    settled(
        &[&file, "--device", "bench"],
        modules,
        &folder.path().join("data"),
    )
}

/// Runs it once for the compiler, whose memory is not to be counted, and once to be measured: all modules ready, then
/// left alone for [`SETTLE`].
fn settled(args: &[&str], modules: usize, data: &Path) -> anyhow::Result<f64> {
    if modules > 0 {
        Run::start(args, data, None)?.wait_ready(modules)?;
    }
    let mut run = Run::start(args, data, None)?;
    run.wait_ready(modules)?;
    std::thread::sleep(SETTLE);
    run.pss_kib()
}

/// The memory of a process with so many messages that wait for a hub that is away.
pub(super) fn waiting(components: &Components, messages: u64) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let file = folder.path().join("deployment.json");
    let source = ("source".to_owned(), super::module(&components.source));
    let route = (
        "upstream".to_owned(),
        "FROM /messages/* INTO $upstream".to_owned(),
    );
    std::fs::write(&file, super::manifest([source], [route]).to_string())?;
    let file = file.display().to_string();
    let args = [&file, "--device", "bench"];
    Run::start(&args, &data, None)?.wait_ready(1)?;
    let mut run = Run::start(&args, &data, None)?;
    run.wait_ready(1)?;
    verb(&data, &["upstream", "disconnect"])?;
    let order = json!({ "messages": messages, "sizeBytes": 256 });
    verb(&data, &["send", "source", &order.to_string()])?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let module = verb(&data, &["inspect", "source", "--output", "json"])?;
        let module: Value = serde_json::from_str(&module)?;
        // The last one says how many they were.
        if module["sent"]["counters"]["taken"].as_u64() > Some(messages) {
            return run.pss_kib();
        }
        ensure!(
            Instant::now() < deadline,
            "they are not all taken: {module}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Runs another verb of this binary on the data folder of a run: what it prints.
fn verb(data: &Path, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(args).arg("--data-dir").arg(data).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}`: {}", args[0], said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// How many modules each device gets; without modules there is one device.
fn per_device(modules: usize) -> Vec<usize> {
    let full = std::iter::repeat_n(MODULES_PER_DEVICE_MAX, modules / MODULES_PER_DEVICE_MAX);
    let rest = modules % MODULES_PER_DEVICE_MAX;
    let mut counts: Vec<usize> = full.collect();
    if rest > 0 || counts.is_empty() {
        counts.push(rest);
    }
    counts
}

fn empty_modules(components: &Components, count: usize) -> Value {
    let module = super::module(&components.empty);
    super::manifest((0..count).map(|n| (format!("m{n}"), module.clone())), [])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_device_has_more_modules_than_the_hub_allows() {
        let check = |modules, expected: &[usize]| assert_eq!(per_device(modules), expected);
        check(0, &[0]);
        check(1, &[1]);
        check(50, &[50]);
        check(120, &[50, 50, 20]);
    }
}

//! Drives what the message store of wasm-edge is compared with, with the same load for each: `make bench` runs it after
//! `wasm-edge bench` and puts the figures beside each other. No part of the product.

mod kill;
mod load;
mod mosquitto;
mod process;
mod queue;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use load::{Load, Measured};
use mosquitto::{Mosquitto, Saved};
use queue::Store;
use report::Figure;

/// The same load for several message stores.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures all and prints a table.
    Compare(Compare),
    /// Puts the load on one store, in this process, and prints the figures as JSON.
    Load {
        store: Store,
        #[arg(long)]
        messages: u64,
        #[arg(long)]
        group: u64,
        folder: PathBuf,
    },
    /// Appends and takes until it is killed.
    Fill {
        store: Store,
        #[arg(long)]
        first: u64,
        #[arg(long)]
        group: u64,
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct Compare {
    /// Shows that all runs: few messages, one sample, few kills.
    #[arg(long)]
    quick: bool,
    /// These stores only.
    #[arg(long, value_delimiter = ',')]
    stores: Vec<Store>,
    /// What `wasm-edge bench --json` wrote in the same run.
    #[arg(long)]
    beside: Option<PathBuf>,
    /// Writes the figures there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where Debian's package of mosquitto was unpacked.
    #[arg(long)]
    mosquitto: Option<PathBuf>,
    /// Of the random moments of the kills; by default from the clock.
    #[arg(long)]
    seed: Option<u64>,
}

/// How much is done.
struct Effort {
    /// Messages for groups of 1, 32 and 256.
    messages: [u64; 3],
    samples: usize,
    kills: u64,
}

const GROUPS: [u64; 3] = [1, 32, 256];
const FULL: Effort = Effort {
    messages: [2_000, 20_000, 100_000],
    samples: 3,
    kills: 25,
};
const QUICK: Effort = Effort {
    messages: [100, 1_000, 4_000],
    samples: 1,
    kills: 3,
};

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Compare(compare) => compare.run(),
        Task::Fill {
            store,
            first,
            group,
            folder,
        } => kill::fill(store, first, group, &folder),
        Task::Load {
            store,
            messages,
            group,
            folder,
        } => {
            let measured = Load { messages, group }.run(store, &folder)?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
    }
}

impl Compare {
    fn run(self) -> anyhow::Result<()> {
        let effort = if self.quick { QUICK } else { FULL };
        let stores = match self.stores.is_empty() {
            true => Store::ALL.to_vec(),
            false => self.stores.clone(),
        };
        let mosquitto = Mosquitto::find(self.mosquitto.as_deref());
        if mosquitto.is_none() {
            eprintln!("mosquitto is left out: it is neither installed nor unpacked");
        }
        let mut figures = Vec::new();
        for (group, messages) in GROUPS.into_iter().zip(effort.messages) {
            let load = Load { messages, group };
            // One sample of each in turn, so that what else the machine does meets all of them.
            let mut samples = vec![Vec::new(); stores.len() + 2];
            for _ in 0..effort.samples {
                for (store, samples) in stores.iter().zip(&mut samples) {
                    eprintln!("{}, groups of {group}", store.name());
                    samples.push(in_a_process(*store, load)?);
                }
                if let Some(mosquitto) = &mosquitto {
                    for (saved, samples) in SAVED.iter().zip(&mut samples[stores.len()..]) {
                        samples.push(with_mosquitto(mosquitto, *saved, load)?);
                    }
                }
            }
            let names = stores.iter().map(|store| store.name());
            let names = names.chain(SAVED.map(|(_, name)| name));
            let of_group = names
                .zip(samples)
                .filter_map(|(name, samples)| Figure::of(name, group, samples));
            figures.extend(of_group);
        }
        let beside = self
            .beside
            .as_deref()
            .map(report::read_beside)
            .transpose()?;
        print!("{}", report::table(&figures, beside.as_ref()));
        let kills = self.kills(&stores, effort.kills)?;
        if let Some(file) = &self.json {
            let json = serde_json::to_string_pretty(&report::to_json(&figures, &kills))? + "\n";
            std::fs::write(file, json)
                .with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        Ok(())
    }

    fn kills(&self, stores: &[Store], rounds: u64) -> anyhow::Result<Vec<report::Kills>> {
        let seed = self.seed.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            since.as_secs()
        });
        let mut kills = Vec::new();
        for store in stores {
            let context = || format!("`{}` after kill -9, --seed {seed}", store.name());
            let opened = kill::rounds(*store, rounds, seed).with_context(context)?;
            println!(
                "{}: {rounds} of {rounds} times all that was acknowledged was there after kill -9, opened in {:.1} ms (seed {seed})",
                store.name(),
                opened.as_secs_f64() * 1e3
            );
            kills.push(report::Kills::of(*store, rounds, opened));
        }
        Ok(kills)
    }
}

const SAVED: [(Saved, &str); 2] = [
    (Saved::NowAndThen, "mosquitto"),
    (Saved::EachChange, "mosquitto, saving"),
];

/// As much as mosquitto can write its whole queue for.
const SAVED_EACH_CHANGE_MAX: u64 = 2_000;

fn with_mosquitto(
    mosquitto: &Mosquitto,
    (saved, name): (Saved, &str),
    mut load: Load,
) -> anyhow::Result<Measured> {
    if saved == Saved::EachChange {
        load.messages = load.messages.min(SAVED_EACH_CHANGE_MAX);
    }
    eprintln!("{name}, groups of {}", load.group);
    let folder = tempfile::tempdir_in(scratch()?)?;
    let measured = mosquitto.run(load, saved, folder.path());
    measured.with_context(|| format!("cannot measure {name}"))
}

/// Puts the load on a store in a process of its own.
fn in_a_process(store: Store, load: Load) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir_in(scratch()?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "load",
        store.name(),
        "--messages",
        &load.messages.to_string(),
    ]);
    command
        .args(["--group", &load.group.to_string()])
        .arg(folder.path());
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`{}` failed with groups of {}", store.name(), load.group);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Where stores are made: beside this program, since that is on a disk and `/tmp` may be memory.
fn scratch() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new(".")).join("scratch");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

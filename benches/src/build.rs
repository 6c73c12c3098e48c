//! `cargo check` of generated crates with 200 annotated functions each; what they depend on is
//! built before.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    measure::{Contender, alternate},
    report::{Better, Outcome},
};

const FUNCTIONS: usize = 200;
const ROUNDS: usize = 5;

const OURS: &str = "cache-runtime";
const CONCURRENT: &str = "cached, concurrent_cached";
const CACHED: &str = "cached, #[cached]";
const PLAIN: &str = "no attribute";

/// A crate to be checked.
struct Sample {
    name: &'static str,
    folder: &'static str,
    dependency: &'static str,
    import: &'static str,
    /// The attribute; `N` stands for the function's number.
    attribute: &'static str,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        name: OURS,
        folder: "ours",
        dependency: "cache-runtime = { path = \"ROOT/cache-runtime\" }",
        import: "use cache_runtime::cached;",
        attribute: "#[cached(ttl = 3600, key = \"users_N:<org>:<page>\")]",
    },
    Sample {
        name: CONCURRENT,
        folder: "concurrent",
        dependency: "cached = { version = \"=4.1.0\", features = [\"async\"] }",
        import: "use cached::macros::concurrent_cached;",
        attribute: "#[concurrent_cached(max_size = 10_000, ttl_secs = 3600)]",
    },
    Sample {
        name: CACHED,
        folder: "cached",
        dependency: "cached = { version = \"=4.1.0\", features = [\"async\"] }",
        import: "use cached::macros::cached;",
        attribute: "#[cached(max_size = 10_000, ttl_secs = 3600)]",
    },
    Sample { name: PLAIN, folder: "plain", dependency: "", import: "", attribute: "" },
];

pub fn run() -> Vec<Outcome> {
    match measure() {
        Ok(outcome) => vec![outcome],
        Err(error) => {
            eprintln!("build: not measured: {error}");
            Vec::new()
        }
    }
}

fn measure() -> io::Result<Outcome> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let place = root.join("target/build-samples");
    let mut contenders = Vec::new();
    for sample in &SAMPLES {
        let folder = generate(&root, &place, sample)?;
        check(&folder)?;
        contenders.push(Contender::new(sample.name, move || seconds_of_check(&folder)));
    }
    let what = format!("`cargo check` of {FUNCTIONS} functions, dependencies built, not incremental");
    Ok(Outcome::new("build", what, "s of processor time", Better::Lower, alternate(ROUNDS, contenders))
        .at_most(0.5, CONCURRENT)
        .at_most(0.5, CACHED))
}

fn generate(root: &Path, place: &Path, sample: &Sample) -> io::Result<PathBuf> {
    let folder = place.join(sample.folder);
    fs::create_dir_all(folder.join("src"))?;
    let dependency = sample.dependency.replace("ROOT", &root.display().to_string());
    let manifest = format!(
        "[package]\nname = \"sample-{}\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n{dependency}\n",
        sample.folder
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::write(folder.join("src/lib.rs"), source(sample))?;
    Ok(folder)
}

fn source(sample: &Sample) -> String {
    let mut text = format!(
        "{}\n\n#[derive(Clone, serde::Serialize, serde::Deserialize)]\npub struct User {{ pub id: u64, pub name: String }}\n\n\
         #[derive(Clone, Debug)]\npub struct Failure;\n\n\
         async fn load(org: u64, page: u32) -> Result<User, Failure> {{\n    \
         Ok(User {{ id: org + u64::from(page), name: String::new() }})\n}}\n",
        sample.import
    );
    for number in 0..FUNCTIONS {
        let attribute = sample.attribute.replace('N', &number.to_string());
        let _ = write!(
            text,
            "\n{attribute}\npub async fn users_{number}(org: u64, page: u32) -> Result<User, Failure> {{\n    \
             load(org, page).await\n}}\n"
        );
    }
    text
}

fn seconds_of_check(folder: &Path) -> f64 {
    let before = seconds_of_children();
    let done = touch(&folder.join("src/lib.rs")).and_then(|()| check(folder));
    if done.is_ok() { seconds_of_children() - before } else { f64::NAN }
}

fn touch(file: &Path) -> io::Result<()> {
    fs::write(file, fs::read(file)?)
}

fn check(folder: &Path) -> io::Result<()> {
    let output = Command::new("cargo")
        .args(["check", "--quiet", "--target-dir"])
        .arg(folder.join("../target"))
        .current_dir(folder)
        .env("CARGO_INCREMENTAL", "0")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// User and system time of the children that have ended and been waited for, in their turn too.
fn seconds_of_children() -> f64 {
    // Linux counts them in hundredths; a check takes a hundred times that.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

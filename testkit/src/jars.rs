//! Kafka's jars: fetched once from Maven Central, then taken from a folder.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The version that `kafka/pom.xml` names.
pub const KAFKA_VERSION: &str = "4.3.1";
/// Overrides the folder that downloads are kept in.
const CACHE_DIR: &str = "KSEM_CACHE_DIR";
/// The oldest Java that this Kafka runs on.
const JAVA: u32 = 17;

/// The folder with the jars. Fetches them if they are not there, once for all processes that ask at the same time.
pub(crate) fn folder() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = own.parent().unwrap_or(own);
    let cache = std::env::var_os(CACHE_DIR).map_or_else(|| workspace.join(".cache"), PathBuf::from);
    let parent = cache.join("kafka");
    let folder = parent.join(KAFKA_VERSION);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let lock_path = parent.join("lock");
    let lock = File::create(&lock_path).with_context(|| format!("creating {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("waiting for {}", lock_path.display()))?;
    // Somebody else may have fetched them while this process waited.
    if !folder.is_dir() {
        fetch(&parent, &folder)?;
    }
    Ok(folder)
}

fn fetch(parent: &Path, folder: &Path) -> Result<()> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join("pom.xml");
    eprintln!(
        "fetching Apache Kafka {KAFKA_VERSION} (45 MB, once) from Maven Central into {}: the tests run real nodes",
        folder.display()
    );
    let partial = parent.join(format!("{KAFKA_VERSION}.partial-{}", process::id()));
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "Apache Kafka {KAFKA_VERSION} has to be fetched once, and `mvn` (Apache Maven) is not installed; install it, \
             or put the jars that {} names into {}",
            pom.display(),
            folder.display()
        ),
        Err(error) => return Err(error).context("running mvn"),
    };
    if !output.status.success() {
        let _ = fs::remove_dir_all(&partial);
        bail!(
            "mvn could not fetch Apache Kafka {KAFKA_VERSION} ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // A rename, so that a folder of that name is always complete.
    fs::rename(&partial, folder).with_context(|| format!("renaming {}", partial.display()))
}

/// Checks that a Java is there that can run Kafka.
pub(crate) fn check_java() -> Result<()> {
    let output = match Command::new("java").arg("-version").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("Apache Kafka needs Java {JAVA} or later, and `java` is not installed or not on the PATH")
        }
        Err(error) => return Err(error).context("running java -version"),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    // A version that cannot be read is not a reason to stop: Java will say it itself.
    if let Some(major) = major_version(&text) {
        ensure!(
            major >= JAVA,
            "Apache Kafka {KAFKA_VERSION} needs Java {JAVA} or later, and `java` is version {major}"
        );
    }
    Ok(())
}

/// From `openjdk version "17.0.15" 2025-04-15` to 17.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let major = version.split(['.', '-', '+']).next()?.parse().ok()?;
    // Java 8 and before call themselves 1.8.
    Some(if major == 1 { 8 } else { major })
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn java_versions_are_read() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(major_version("java version \"1.8.0_402\""), Some(8));
        assert_eq!(major_version("openjdk version \"25-ea\" 2025"), Some(25));
        assert_eq!(major_version("no version here"), None);
    }
}

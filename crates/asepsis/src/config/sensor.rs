//! The tables that say what is seen: `[[sensor]]`, `[sensor_intake]`, `[inventory]`, and the file of a sensor on another
//! host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::certificate::{Chain, authorities};
use super::{Upstream, upstream};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSensor {
    name: String,
    interface: Option<String>,
    netflow: Option<String>,
    sflow: Option<String>,
    #[serde(default)]
    remote: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntake {
    address: String,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInventory {
    #[serde(default)]
    networks: Vec<String>,
    units: Option<PathBuf>,
    #[serde(default)]
    fingerprints: Vec<PathBuf>,
}

/// A place where traffic is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SensorConfig {
    /// Its name; a remote one's certificate shows it.
    pub(crate) name: String,
    /// What it sees.
    pub(crate) sees: Sees,
}

/// What a sensor sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The packets of an interface of this host.
    Interface(String),
    /// NetFlow and IPFIX that exporters send to this address.
    NetFlow(SocketAddr),
    /// sFlow that agents send to this address.
    SFlow(SocketAddr),
    /// Whatever a sensor on another host sends.
    Remote,
}

/// Where sensors on other hosts connect.
#[derive(Debug)]
pub(crate) struct IntakeConfig {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Certificate and key.
    pub(crate) chain: Chain,
    /// Authorities of the sensors' certificates.
    pub(crate) client_ca: Arc<RootCertStore>,
}

/// What the operator says about the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InventoryConfig {
    /// Networks of the hospital beside the private ones.
    pub(crate) networks: Vec<String>,
    /// Table of subnets and wards.
    pub(crate) units: Option<PathBuf>,
    /// Fingerprint packs beside the shipped ones.
    pub(crate) fingerprints: Vec<PathBuf>,
}

impl RawInventory {
    pub(super) fn check(self, base: &Path) -> anyhow::Result<InventoryConfig> {
        let there = |path: PathBuf| {
            let path = base.join(path);
            ensure!(path.exists(), "`{}` does not exist", path.display());
            Ok(path)
        };
        Ok(InventoryConfig {
            networks: self.networks,
            units: self.units.map(there).transpose().context("key `units`")?,
            fingerprints: self
                .fingerprints
                .into_iter()
                .map(there)
                .collect::<anyhow::Result<_>>()
                .context("key `fingerprints`")?,
        })
    }
}

impl RawSensor {
    pub(super) fn check(self) -> anyhow::Result<SensorConfig> {
        ensure!(
            !self.name.is_empty()
                && self.name.len() <= 63
                && self
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "`name` must be lower-case letters, digits and hyphens"
        );
        let address = |text: &str| {
            text.parse().with_context(|| {
                format!("`{text}` is not an address with a port, such as 0.0.0.0:2055")
            })
        };
        let sees = match (self.interface, self.netflow, self.sflow, self.remote) {
            (Some(interface), None, None, false) => Sees::Interface(interface),
            (None, Some(text), None, false) => {
                Sees::NetFlow(address(&text).context("key `netflow`")?)
            }
            (None, None, Some(text), false) => Sees::SFlow(address(&text).context("key `sflow`")?),
            (None, None, None, true) => Sees::Remote,
            _ => bail!(
                "say one thing that it sees: `interface = \"eth1\"`, `netflow = \"0.0.0.0:2055\"`, \
                 `sflow = \"0.0.0.0:6343\"`, or `remote = true`"
            ),
        };
        Ok(SensorConfig {
            name: self.name,
            sees,
        })
    }
}

impl RawIntake {
    pub(super) fn check(self, base: &Path) -> anyhow::Result<IntakeConfig> {
        Ok(IntakeConfig {
            address: self.address.parse().with_context(|| {
                format!(
                    "`{}` is not an address with a port, such as 0.0.0.0:8444",
                    self.address
                )
            })?,
            chain: Chain::load(&base.join(&self.certificate), &base.join(&self.key))?,
            client_ca: authorities(&base.join(&self.client_ca))?,
        })
    }
}

/// Checks the sensors against each other and against the intake.
pub(super) fn check_all(
    sensors: &[SensorConfig],
    intake: Option<&IntakeConfig>,
) -> anyhow::Result<()> {
    for (n, sensor) in sensors.iter().enumerate() {
        ensure!(
            sensors[..n]
                .iter()
                .all(|earlier| earlier.name != sensor.name),
            "two [[sensor]] tables have the name `{}`",
            sensor.name
        );
    }
    let remote = sensors.iter().find(|s| s.sees == Sees::Remote);
    match (remote, intake) {
        (Some(sensor), None) => bail!(
            "the sensor `{}` is remote, but there is no [sensor_intake] that it could send to",
            sensor.name
        ),
        (None, Some(_)) => bail!(
            "[sensor_intake] is there, but no [[sensor]] has `remote = true`: name each sensor that may send"
        ),
        _ => Ok(()),
    }
}

/// The file of a sensor on a host of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSensorHost {
    centre: String,
    centre_ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    spool: PathBuf,
    #[serde(default = "default_spool_megabytes")]
    spool_megabytes: u64,
    #[serde(default, rename = "sensor")]
    sensors: Vec<RawSensor>,
}

fn default_spool_megabytes() -> u64 {
    1024
}

/// A sensor on a host of its own.
#[derive(Debug)]
pub(crate) struct SensorHost {
    /// The centre.
    pub(crate) centre: Upstream,
    /// The sensor's certificate, and the centre's authorities.
    pub(crate) tls: Arc<ClientConfig>,
    /// Folder of the spool.
    pub(crate) spool: PathBuf,
    /// Its bound in octets.
    pub(crate) spool_bytes_max: u64,
    /// What it sees.
    pub(crate) sensors: Vec<SensorConfig>,
}

impl SensorHost {
    /// Reads and checks the file; each error names the place and the remedy.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the sensor's configuration `{}`",
                path.display()
            )
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: &str, base: &Path) -> anyhow::Result<Self> {
        let raw: RawSensorHost = toml::from_str(text)?;
        let roots = authorities(&base.join(&raw.centre_ca)).context("key `centre_ca`")?;
        let centre = upstream(&raw.centre, Some(Arc::clone(&roots))).context("key `centre`")?;
        ensure!(
            centre.path.is_empty(),
            "`centre` has the path `{}`: give only scheme, host and port",
            centre.path
        );
        ensure!(
            (1..=1 << 20).contains(&raw.spool_megabytes),
            "`spool_megabytes` is {}: choose 1 to 1048576",
            raw.spool_megabytes
        );
        let chain = Chain::load(&base.join(&raw.certificate), &base.join(&raw.key))?;
        let mut sensors = Vec::with_capacity(raw.sensors.len());
        for (n, sensor) in raw.sensors.into_iter().enumerate() {
            let place = format!("in [[sensor]] number {} (`{}`)", n + 1, sensor.name);
            let sensor = sensor.check().context(place.clone())?;
            ensure!(
                sensor.sees != Sees::Remote,
                "{place}: a sensor's own file cannot name a remote sensor"
            );
            sensors.push(sensor);
        }
        ensure!(
            !sensors.is_empty(),
            "no [[sensor]]: say what this host sees"
        );
        check_all(&sensors, None)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(chain.certified));
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_cert_resolver(resolver);
        Ok(Self {
            centre,
            tls: Arc::new(tls),
            spool: base.join(&raw.spool),
            spool_bytes_max: raw.spool_megabytes << 20,
            sensors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(text: &str) -> anyhow::Result<SensorConfig> {
        toml::from_str::<RawSensor>(text)?.check()
    }

    #[test]
    fn a_sensor_sees_exactly_one_thing() {
        let seen = sensor("name = \"core\"\ninterface = \"eth1\"").expect("valid");
        assert_eq!(seen.sees, Sees::Interface("eth1".to_owned()));
        for wrong in [
            "name = \"core\"",
            "name = \"core\"\ninterface = \"eth1\"\nremote = true",
            "name = \"Core\"\nremote = true",
            "name = \"core\"\nnetflow = \"2055\"",
        ] {
            let error = sensor(wrong).expect_err("refused");
            assert!(format!("{error:#}").contains('`'), "{error:#}");
        }
    }

    #[test]
    fn a_remote_sensor_needs_an_intake_and_names_are_used_once() {
        let remote = sensor("name = \"east\"\nremote = true").expect("valid");
        let error = check_all(std::slice::from_ref(&remote), None).expect_err("refused");
        assert!(error.to_string().contains("[sensor_intake]"), "{error}");
        let error = check_all(&[remote.clone(), remote], None).expect_err("refused");
        assert!(error.to_string().contains("`east`"), "{error}");
    }
}

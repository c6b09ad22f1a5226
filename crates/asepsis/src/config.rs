//! `asepsis.toml`: the file as written (`Raw…`) and as checked ([`Config`]).
//!
//! Unknown keys are refused, security settings have no default, and everything a file names is opened here, so
//! that what comes after needs no further checking. Nothing is bound and nothing is written.

mod assess;
mod certificate;
mod sensor;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clinical::web;
use domain::{ApplicationId, Criticality, EnforcementMode, PersonId, Role};
use policy::PolicyPack;
use serde::Deserialize;

pub(crate) use assess::AssessConfig;
pub(crate) use certificate::{Chain, authorities};
pub(crate) use sensor::{IntakeConfig, InventoryConfig, Sees, SensorConfig, SensorHost};

/// The file, key by key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    hospital: String,
    data: PathBuf,
    #[serde(default = "default_hsts_secs")]
    hsts_secs: u64,
    access: RawAccess,
    console: RawConsole,
    sessions: RawSessions,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    relations: RawRelations,
    #[serde(default, rename = "listener")]
    listeners: Vec<RawListener>,
    #[serde(default, rename = "application")]
    applications: Vec<RawApplication>,
    #[serde(default)]
    inventory: sensor::RawInventory,
    #[serde(default, rename = "sensor")]
    sensors: Vec<sensor::RawSensor>,
    sensor_intake: Option<sensor::RawIntake>,
    #[serde(default)]
    assess: assess::RawAssess,
}

/// A year, which is what browsers and their lists expect.
fn default_hsts_secs() -> u64 {
    31_536_000
}

/// Two years; a mistake should not outlive a machine.
const HSTS_SECS_MAX: u64 = 63_072_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccess {
    host: String,
    rp_id: String,
    administrator: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsole {
    host: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSessions {
    idle_minutes: u64,
    absolute_hours: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    pack: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelations {
    fhir: Option<String>,
    #[serde(default = "default_poll_secs")]
    poll_secs: u64,
    #[serde(default = "default_max_age_secs")]
    max_age_secs: u64,
}

fn default_poll_secs() -> u64 {
    60
}

fn default_max_age_secs() -> u64 {
    900
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListener {
    address: String,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApplication {
    name: String,
    host: String,
    upstream: String,
    upstream_ca: Option<PathBuf>,
    fhir_base: Option<String>,
    criticality: Criticality,
    mode: EnforcementMode,
    #[serde(default, rename = "rule")]
    rules: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    prefix: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// A configuration that needs no further checking.
#[derive(Debug)]
pub(crate) struct Config {
    /// Name of the hospital, for pages.
    pub(crate) hospital: String,
    /// Folder of store, keys and log.
    pub(crate) data: PathBuf,
    /// For how long browsers come over TLS only, once they have; 0: they forget it.
    pub(crate) hsts_secs: u64,
    /// Host of the sign-in origin.
    pub(crate) access_host: String,
    /// Passkeys' relying party id.
    pub(crate) rp_id: String,
    /// Who administers first.
    pub(crate) administrator: PersonId,
    /// Host of the console.
    pub(crate) console_host: String,
    /// Session lifetimes.
    pub(crate) idle: Duration,
    /// Longest session.
    pub(crate) absolute: Duration,
    /// Policies in force.
    pub(crate) pack: Arc<PolicyPack>,
    /// Where relations are polled from.
    pub(crate) relations: Option<RelationsFeed>,
    /// Sockets to open.
    pub(crate) listeners: Vec<ListenerConfig>,
    /// Applications to protect.
    pub(crate) applications: Vec<ApplicationConfig>,
    /// What is said about the network.
    pub(crate) inventory: InventoryConfig,
    /// Where traffic is seen.
    pub(crate) sensors: Vec<SensorConfig>,
    /// Where sensors on other hosts connect.
    pub(crate) sensor_intake: Option<IntakeConfig>,
    /// What the hospital has, for the assessment.
    pub(crate) assess: AssessConfig,
}

/// A FHIR server that is asked for Encounter and CareTeam.
#[derive(Clone, Debug)]
pub(crate) struct RelationsFeed {
    /// Its base address.
    pub(crate) base: Upstream,
    /// How often.
    pub(crate) every: Duration,
    /// From which age on it counts as stale.
    pub(crate) max_age: Duration,
}

/// A socket to open.
#[derive(Debug)]
pub(crate) struct ListenerConfig {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Certificate and key.
    pub(crate) chain: Chain,
    /// Authorities of device certificates.
    pub(crate) client_ca: Option<Arc<rustls::RootCertStore>>,
}

/// An application to protect.
#[derive(Debug)]
pub(crate) struct ApplicationConfig {
    /// Its name.
    pub(crate) id: ApplicationId,
    /// Host under which people reach it.
    pub(crate) host: String,
    /// Where it really is.
    pub(crate) upstream: Upstream,
    /// FHIR base path, for a FHIR server. Below it, the host's requests are FHIR.
    pub(crate) fhir_base: Option<String>,
    /// Rules for its pages.
    pub(crate) rules: web::Rules,
    /// What stops if it stops.
    pub(crate) criticality: Criticality,
    /// Shadow or enforce.
    pub(crate) mode: EnforcementMode,
}

/// An HTTP origin to forward to.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Authorities to verify it with; absent: plain HTTP.
    pub(crate) tls: Option<Arc<rustls::RootCertStore>>,
    /// Path of the address, without trailing slash.
    pub(crate) path: String,
}

impl Config {
    /// Reads and checks a configuration; each error names the place and the remedy.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the configuration `{}` (hint: `asepsis init` writes one)",
                path.display()
            )
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base).with_context(|| format!("in `{}`", path.display()))
    }

    pub(crate) fn parse(text: &str, base: &Path) -> anyhow::Result<Self> {
        let raw: RawConfig = toml::from_str(text)?;
        let at = |p: &Path| base.join(p);

        host_name(&raw.access.host).context("in [access], key `host`")?;
        host_name(&raw.console.host).context("in [console], key `host`")?;
        host_name(&raw.access.rp_id).context("in [access], key `rp_id`")?;
        ensure!(
            raw.access.host == raw.access.rp_id
                || raw.access.host.ends_with(&format!(".{}", raw.access.rp_id)),
            "in [access], `host` is `{}`, which is not under the relying party id `{}`: passkeys would not work \
             (hint: choose a host that ends in `.{}`; changing `rp_id` later orphans every passkey)",
            raw.access.host,
            raw.access.rp_id,
            raw.access.rp_id
        );
        ensure!(
            raw.hsts_secs <= HSTS_SECS_MAX,
            "`hsts_secs` is {}: choose 0 (browsers forget it) to {HSTS_SECS_MAX} (two years)",
            raw.hsts_secs
        );
        ensure!(
            (1..=240).contains(&raw.sessions.idle_minutes),
            "in [sessions], `idle_minutes` is {}: choose 1 to 240",
            raw.sessions.idle_minutes
        );
        ensure!(
            (1..=24).contains(&raw.sessions.absolute_hours),
            "in [sessions], `absolute_hours` is {}: choose 1 to 24",
            raw.sessions.absolute_hours
        );

        let mut applications = Vec::with_capacity(raw.applications.len());
        for (n, application) in raw.applications.into_iter().enumerate() {
            let place = format!(
                "in [[application]] number {} (`{}`)",
                n + 1,
                application.name
            );
            applications.push(application.check(base).context(place)?);
        }
        ensure!(
            !applications.is_empty(),
            "no application to protect (hint: add an [[application]] table, or run `asepsis init`)"
        );
        unique_hosts(&raw.access.host, &raw.console.host, &applications)?;

        let mut names: Vec<&str> = vec![&raw.access.host, &raw.console.host];
        names.extend(applications.iter().map(|a| a.host.as_str()));
        ensure!(
            !raw.listeners.is_empty(),
            "no [[listener]]: `asepsis up` serves HTTPS only and needs an address, a certificate and a key"
        );
        let mut listeners = Vec::with_capacity(raw.listeners.len());
        for (n, listener) in raw.listeners.into_iter().enumerate() {
            let place = format!("in [[listener]] number {}", n + 1);
            listeners.push(listener.check(base, &names).context(place)?);
        }

        let pack = match &raw.policy.pack {
            None => PolicyPack::hospital(),
            Some(dir) => Arc::new(
                crate::pack::load(&at(dir))
                    .with_context(|| format!("in [policy], pack `{}`", at(dir).display()))?,
            ),
        };
        let relations = match &raw.relations.fhir {
            None => None,
            Some(url) => {
                ensure!(
                    raw.relations.poll_secs >= 5,
                    "in [relations], `poll_secs` is below 5"
                );
                Some(RelationsFeed {
                    base: upstream(url, None).context("in [relations], key `fhir`")?,
                    every: Duration::from_secs(raw.relations.poll_secs),
                    max_age: Duration::from_secs(raw.relations.max_age_secs),
                })
            }
        };

        let inventory = raw.inventory.check(base).context("in [inventory]")?;
        let mut sensors = Vec::with_capacity(raw.sensors.len());
        for (n, sensor) in raw.sensors.into_iter().enumerate() {
            let place = format!("in [[sensor]] number {}", n + 1);
            sensors.push(sensor.check().context(place)?);
        }
        let sensor_intake = raw
            .sensor_intake
            .map(|intake| intake.check(base).context("in [sensor_intake]"))
            .transpose()?;
        sensor::check_all(&sensors, sensor_intake.as_ref())?;
        let assess = raw.assess.check(base).context("in [assess]")?;

        Ok(Self {
            hospital: raw.hospital,
            data: at(&raw.data),
            hsts_secs: raw.hsts_secs,
            access_host: raw.access.host,
            rp_id: raw.access.rp_id,
            administrator: PersonId::new(raw.access.administrator),
            console_host: raw.console.host,
            idle: Duration::from_secs(60 * raw.sessions.idle_minutes),
            absolute: Duration::from_secs(3600 * raw.sessions.absolute_hours),
            pack,
            relations,
            listeners,
            applications,
            inventory,
            sensors,
            sensor_intake,
            assess,
        })
    }
}

impl RawListener {
    fn check(self, base: &Path, names: &[&str]) -> anyhow::Result<ListenerConfig> {
        let address = self.address.parse().with_context(|| {
            format!(
                "`{}` is not an address with a port, such as 0.0.0.0:443",
                self.address
            )
        })?;
        let chain = Chain::load(&base.join(&self.certificate), &base.join(&self.key))?;
        chain.covers(names)?;
        let client_ca = self
            .client_ca
            .map(|p| authorities(&base.join(p)))
            .transpose()?;
        Ok(ListenerConfig {
            address,
            chain,
            client_ca,
        })
    }
}

impl RawApplication {
    fn check(self, base: &Path) -> anyhow::Result<ApplicationConfig> {
        ensure!(
            !self.name.is_empty()
                && self.name.len() <= 40
                && self
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "`name` must be lower-case letters, digits and hyphens"
        );
        ensure!(
            !["access", "console"].contains(&self.name.as_str()),
            "`name` must not be `access` or `console`: those are Asepsis's own"
        );
        host_name(&self.host).context("key `host`")?;
        let ca = self
            .upstream_ca
            .map(|p| authorities(&base.join(p)))
            .transpose()?;
        let upstream = upstream(&self.upstream, ca).context("key `upstream`")?;
        ensure!(
            upstream.path.is_empty(),
            "`upstream` has the path `{}`: give only scheme, host and port; requests keep their own path",
            upstream.path
        );
        if let Some(base) = &self.fhir_base {
            ensure!(
                base.starts_with('/') && base.len() > 1 && !base.ends_with('/'),
                "`fhir_base` is `{base}`: write it like `/fhir`, without a slash at the end"
            );
        }
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in self.rules {
            let methods = rule
                .methods
                .iter()
                .map(|m| {
                    m.parse()
                        .with_context(|| format!("rule `{}`: method `{m}`", rule.name))
                })
                .collect::<anyhow::Result<Vec<http::Method>>>()?;
            rules.push(web::Rule {
                name: rule.name.into(),
                methods,
                prefix: rule.prefix,
                roles: rule.roles.into_iter().map(Role::from).collect(),
            });
        }
        Ok(ApplicationConfig {
            id: ApplicationId::new(self.name),
            host: self.host,
            upstream,
            fhir_base: self.fhir_base,
            rules: web::Rules::new(rules)?,
            criticality: self.criticality,
            mode: self.mode,
        })
    }
}

/// An address split where a configuration wants it split.
pub(crate) struct UpstreamAddress {
    /// Scheme, host and port.
    pub(crate) origin: String,
    /// Path without trailing slash; empty for the root.
    pub(crate) path: String,
}

/// Splits an address that an operator gave; it must be one that [`upstream`] accepts.
pub(crate) fn upstream_address(url: &str) -> anyhow::Result<UpstreamAddress> {
    let parsed = upstream(url, None)?;
    let origin = url.strip_suffix('/').unwrap_or(url);
    let origin = origin
        .strip_suffix(parsed.path.as_str())
        .unwrap_or(origin)
        .to_owned();
    Ok(UpstreamAddress {
        origin,
        path: parsed.path,
    })
}

/// Reads `http://host:port` or `https://host:port`.
pub(crate) fn upstream(
    url: &str,
    ca: Option<Arc<rustls::RootCertStore>>,
) -> anyhow::Result<Upstream> {
    let uri: http::Uri = url
        .parse()
        .with_context(|| format!("`{url}` is not an address such as http://10.0.0.5:8080"))?;
    let host = uri
        .host()
        .with_context(|| format!("`{url}` names no host"))?;
    ensure!(
        uri.authority().is_some_and(|a| !a.as_str().contains('@')),
        "`{url}` contains a user name: credentials do not belong in an address"
    );
    ensure!(uri.query().is_none(), "`{url}` has a query");
    let (default, tls) = match uri.scheme_str() {
        Some("http") => {
            ensure!(
                ca.is_none(),
                "`upstream_ca` is given but `{url}` is plain HTTP"
            );
            (80, None)
        }
        Some("https") => (
            443,
            Some(match ca {
                Some(roots) => roots,
                None => certificate::system_authorities()?,
            }),
        ),
        _ => bail!("`{url}` must begin with http:// or https://"),
    };
    Ok(Upstream {
        host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port: uri.port_u16().unwrap_or(default),
        tls,
        path: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn host_name(host: &str) -> anyhow::Result<()> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    ensure!(
        host.len() <= 253 && host.split('.').all(label) && host.contains('.'),
        "`{host}` is not a host name in lower case such as ehr.example-hospital.org, without port or scheme"
    );
    Ok(())
}

/// Hosts are the applications' own, except that pages and their FHIR service may share one.
fn unique_hosts(
    access: &str,
    console: &str,
    applications: &[ApplicationConfig],
) -> anyhow::Result<()> {
    ensure!(
        access != console,
        "[access] and [console] have the same host `{access}`"
    );
    let mut places = BTreeMap::new();
    let mut names = BTreeMap::new();
    for application in applications {
        let (id, host) = (&application.id, application.host.as_str());
        ensure!(
            host != access && host != console,
            "host `{host}` belongs to both Asepsis itself and application `{id}`: give each a host of its own"
        );
        let path = application.fhir_base.as_deref().unwrap_or("/");
        if let Some(first) = places.insert((host, path), id) {
            bail!("`{host}{path}` belongs to both application `{first}` and application `{id}`");
        }
        if names.insert(id.as_str(), ()).is_some() {
            bail!("two applications are named `{id}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_with(text: &str, expected: &str) {
        let error = Config::parse(text, Path::new("."))
            .map(|_| ())
            .expect_err("the configuration is wrong");
        let chain = format!("{error:#}");
        assert!(chain.contains(expected), "`{chain}` lacks `{expected}`");
    }

    const HEAD: &str = "hospital = \"St. Example\"\ndata = \"data\"\n\
        [access]\nhost = \"access.example.org\"\nrp_id = \"example.org\"\nadministrator = \"it-1\"\n\
        [console]\nhost = \"console.example.org\"\n[sessions]\nidle_minutes = 15\nabsolute_hours = 12\n";
    const WIKI: &str = "[[application]]\nname = \"wiki\"\nhost = \"wiki.example.org\"\n\
        upstream = \"http://127.0.0.1:9000\"\ncriticality = \"business\"\nmode = \"shadow\"\n";

    #[test]
    fn errors_name_the_place() {
        fails_with("hospital = 1", "line 1");
        fails_with(
            &HEAD.replace("rp_id = \"example.org\"", "rp_id = \"other.org\""),
            "orphans every passkey",
        );
        fails_with(
            &HEAD.replace("idle_minutes = 15", "idle_minutes = 15\nidle = 3"),
            "unknown field `idle`",
        );
        fails_with(
            &HEAD.replace("idle_minutes = 15", "idle_minutes = 0"),
            "choose 1 to 240",
        );
        fails_with(
            &format!("hsts_secs = 63072001\n{HEAD}"),
            "choose 0 (browsers forget it) to 63072000",
        );
        fails_with(&format!("hsts_secs = -1\n{HEAD}"), "hsts_secs");
        fails_with(HEAD, "no application to protect");
        fails_with(&format!("{HEAD}{WIKI}"), "serves HTTPS only");
        fails_with(
            &format!("{HEAD}{WIKI}{WIKI}"),
            "belongs to both application `wiki`",
        );
        fails_with(
            &format!(
                "{HEAD}{}",
                WIKI.replace("wiki.example.org", "access.example.org")
            ),
            "belongs to both",
        );
        fails_with(
            &format!("{HEAD}{}", WIKI.replace("http://", "ftp://")),
            "must begin with http:// or https://",
        );
        fails_with(
            &format!("{HEAD}{}", WIKI.replace(":9000", ":9000/app")),
            "give only scheme, host and port",
        );
        fails_with(
            &format!(
                "{HEAD}{}",
                WIKI.replace("wiki.example.org", "Wiki.example.org:1")
            ),
            "is not a host name",
        );
    }
}

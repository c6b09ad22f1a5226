//! The sides that are nginx: the upstream of everybody, the plain TLS proxy, and the proxy that asks an endpoint.
//!
//! Each is set up to win: no access log, a keep-alive pool to the upstream, connections that are never closed for their
//! age, files kept open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use xtask::process::Process;

/// Bytes of content in every response.
pub(crate) const CONTENT_BYTES: u32 = 1024;

/// nginx, found, and the folder for what it writes.
#[derive(Debug)]
pub(crate) struct Nginx<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
}

impl Nginx<'_> {
    /// The upstream: a file of 1 KiB, for a `POST` too.
    pub(crate) fn upstream(&self, port: u16) -> Result<Process> {
        let content = self.folder.join("content");
        fs::create_dir_all(&content).context("cannot make the folder of the upstream")?;
        let text: String = "A thousand and twenty-four bytes, as a small page or resource. "
            .chars()
            .cycle()
            .take(CONTENT_BYTES as usize)
            .collect();
        fs::write(content.join("page"), text).context("cannot write the file of the upstream")?;
        let server = format!(
            "server {{
                listen 127.0.0.1:{port};
                root \"{}\";
                open_file_cache max=16;
                location / {{ error_page 405 =200 $uri; }}
            }}",
            content.display()
        );
        self.start("upstream", &server)
    }

    /// A plain TLS reverse proxy on `port`.
    pub(crate) fn proxy(
        &self,
        port: u16,
        upstream: u16,
        certificate: &Certificate,
    ) -> Result<Process> {
        let server = format!(
            "{pool}
            server {{
                {tls}
                location / {{ {forward} }}
            }}",
            pool = pool("application", upstream),
            tls = listen(port, certificate),
            forward = forward("application"),
        );
        self.start("nginx", &server)
    }

    /// The same proxy, which asks the endpoint at `endpoint` about every request.
    pub(crate) fn asking_proxy(
        &self,
        port: u16,
        upstream: u16,
        endpoint: u16,
        certificate: &Certificate,
    ) -> Result<Process> {
        let server = format!(
            "{application}
            {endpoint}
            server {{
                {tls}
                location / {{ auth_request /.ask; {forward} }}
                location = /.ask {{
                    internal;
                    proxy_pass http://endpoint/check;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_pass_request_body off;
                    proxy_set_header Content-Length \"\";
                    proxy_set_header X-Original-Method $request_method;
                    proxy_set_header X-Original-URI $request_uri;
                }}
            }}",
            application = pool("application", upstream),
            endpoint = pool("endpoint", endpoint),
            tls = listen(port, certificate),
            forward = forward("application"),
        );
        self.start("nginx-auth-request", &server)
    }

    fn start(&self, name: &str, server: &str) -> Result<Process> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder of {name}"))?;
        // As root, the worker would turn into another user, who may not enter our temporary folder.
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let configuration = format!(
            "{user}
            daemon off;
            worker_processes 1;
            pid nginx.pid;
            error_log stderr warn;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                sendfile on;
                keepalive_timeout 1h;
                keepalive_requests 1000000000;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                {server}
            }}"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration)
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        let log = fs::File::create(folder.join("log"))
            .with_context(|| format!("cannot write the log of {name}"))?;
        Process::start(
            name,
            Command::new(self.program)
                .arg("-p")
                .arg(&folder)
                .arg("-c")
                .arg(&file)
                .args(["-e", "stderr"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        )
    }

    /// What `name` wrote to its log.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name).join("log")).unwrap_or_default()
    }
}

fn pool(name: &str, port: u16) -> String {
    format!(
        "upstream {name} {{ server 127.0.0.1:{port}; keepalive 128; keepalive_timeout 1h; keepalive_requests 1000000000; }}"
    )
}

fn listen(port: u16, certificate: &Certificate) -> String {
    format!(
        "listen 127.0.0.1:{port} ssl;
        ssl_certificate \"{}\";
        ssl_certificate_key \"{}\";
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_prefer_server_ciphers on;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;",
        certificate.chain.display(),
        certificate.key.display(),
    )
}

fn forward(pool: &str) -> String {
    // The session cookie of the gateway never reaches an application, whoever the gateway is.
    format!(
        "proxy_pass http://{pool};
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        proxy_set_header Host $host;
        proxy_set_header Cookie \"\";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;"
    )
}

/// A certificate of the kind that the demo has: ECDSA P-256 under an authority of its own.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for `host` in `folder`.
    pub(crate) fn make(folder: &Path, host: &str) -> Result<Self> {
        let authority_key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "benchmark authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_certificate = authority
            .self_signed(&authority_key)
            .context("cannot make an authority")?;
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
        let mut leaf =
            CertificateParams::new([host.to_owned()]).context("cannot make a certificate")?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf
            .signed_by(&key, &issuer)
            .context("cannot sign a certificate")?;

        let made = Self {
            authority: folder.join("authority.pem"),
            chain: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        let files = [
            (&made.authority, authority_certificate.pem()),
            (&made.chain, leaf.pem()),
            (&made.key, key.serialize_pem()),
        ];
        for (file, text) in files {
            fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        Ok(made)
    }
}

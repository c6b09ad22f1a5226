//! tmp
use domain::Timestamp;
use sample::*;
use std::sync::Arc;
#[tokio::main]
#[allow(clippy::disallowed_methods)]
async fn main() {
    let clock: Clock = Arc::new(|| {
        Timestamp::from_millis(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_millis() as i64,
        )
    });
    let t = std::time::Instant::now();
    let h = Hospital::generate(1, clock());
    eprintln!(
        "generate {:?}, {} resources, {} bytes",
        t.elapsed(),
        h.resources().len(),
        h.resources().iter().map(|r| r.json.len()).sum::<usize>()
    );
    let t = std::time::Instant::now();
    let s = Arc::new(FhirServer::new(&h, Options::new(clock)));
    eprintln!("server {:?}", t.elapsed());
    for e in [
        Example::CareTeam,
        Example::Unrelated,
        Example::OwnChart,
        Example::Psychiatry,
        Example::SubstanceUseNoConsent,
    ] {
        let c = h.example(e);
        eprintln!(
            "{e:?} {} {} {:?}",
            c.person.as_str(),
            c.device.as_str(),
            c.patient.map(|p| p.as_str().to_owned())
        );
    }
    eprintln!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS"))
            .collect::<String>()
    );
    let l = tokio::net::TcpListener::bind("127.0.0.1:9911")
        .await
        .unwrap();
    serve(s, l, std::future::pending()).await;
}

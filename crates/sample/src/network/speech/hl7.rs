//! HL7 v2 over MLLP: what pumps, monitors, analysers and the record say, with invented patients in it.

use domain::Mac;

use super::Scene;
use crate::network::machine::Machine;
use crate::random::Random;

pub(super) fn mllp(message: &str) -> Vec<(bool, Vec<u8>)> {
    let framed = |text: &str| {
        let mut out = vec![0x0b];
        out.extend(text.bytes());
        out.extend([0x1c, 0x0d]);
        out
    };
    let control = message.split('|').nth(9).unwrap_or("1");
    let answer = format!(
        "MSH|^~\\&|ENGINE|SAMPLE|PEER|SAMPLE|20261122083000||ACK^R01^ACK|{control}A|P|2.6\rMSA|AA|{control}\r"
    );
    vec![(true, framed(message)), (false, framed(&answer))]
}

fn header(scene: &Scene<'_>, application: &str, message: &str) -> String {
    let control = scene.at.as_millis();
    format!(
        "MSH|^~\\&|{application}|SAMPLE|ENGINE|SAMPLE|20261122083000||{message}|{control}|P|2.6\r"
    )
}

fn person(scene: &Scene<'_>) -> String {
    let (given, family) = scene.patient.split_once(' ').unwrap_or(("", scene.patient));
    format!(
        "PID|1||MRN{:05}^^^SAMPLE^MR||{family}^{given}||19610412|F\rPV1|1|I|WARD^12^A\r",
        scene.at.as_secs() % 100_000
    )
}

/// The EUI-64 of a machine, made of its MAC address.
fn eui64(mac: Mac) -> String {
    let [a, b, c, d, e, f] = mac.0;
    format!("{a:02X}{b:02X}{c:02X}FFFE{d:02X}{e:02X}{f:02X}")
}

pub(super) fn pump_report(scene: &Scene<'_>) -> String {
    let pump = if scene.from.kind == "infusion_pump" {
        scene.from.mac
    } else {
        // A gateway speaks for a pump.
        let pumps: Vec<&Machine> = scene
            .network
            .machines()
            .iter()
            .filter(|m| m.name.starts_with("space-"))
            .collect();
        let n = usize::try_from(scene.at.as_secs() / 60).unwrap_or(0) % pumps.len().max(1);
        pumps.get(n).map_or(scene.from.mac, |m| m.mac)
    };
    let id = eui64(pump);
    format!(
        "{}{}OBR|1|||69985^MDC_DEV_PUMP_INFUS_MDS^MDC|||20261122083000\rOBX|1||69985^MDC_DEV_PUMP_INFUS_MDS^MDC|1.0.0.0|||||||X|||||||{id}^^{id}^EUI-64\rOBX|2|NM|157784^MDC_FLOW_FLUID_PUMP^MDC|1.1.1.1|4.2|265266^MDC_DIM_MILLI_L_PER_HR^MDC|||||R\r",
        header(
            scene,
            &format!("PAT_DEVICE_BBRAUN^{id}^EUI-64"),
            "ORU^R01^ORU_R01"
        ),
        person(scene)
    )
}

pub(super) fn vitals(scene: &Scene<'_>, random: &mut Random) -> String {
    let application = match scene.from.vendor {
        "Dräger" => format!("EVITA_V^{}^EUI-64", eui64(scene.from.mac)),
        _ => format!("PIC_IX^{}^EUI-64", eui64(scene.from.mac)),
    };
    format!(
        "{}{}OBR|1|||182777000^monitoring of patient^SCT|||20261122083000\rOBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|{}|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R\r",
        header(scene, &application, "ORU^R01^ORU_R01"),
        person(scene),
        random.between(58, 104)
    )
}

pub(super) fn result(scene: &Scene<'_>, random: &mut Random) -> String {
    let application = match scene.from.vendor {
        "Roche" => "cobas 6000",
        "Sysmex" => "XN-1000",
        _ => "LIS",
    };
    format!(
        "{}{}SPM|1|S{:06}||BLD\rOBR|1|||2823-3^Potassium^LN\rOBX|1|NM|2823-3^Potassium^LN||{}|mmol/L|3.5-5.1||||F|||||||{}^{}\r",
        header(scene, application, "OUL^R22^OUL_R22"),
        person(scene),
        random.below(1_000_000),
        random.between(35, 51) as f64 / 10.0,
        scene.from.model,
        scene.from.vendor
    )
}

pub(super) fn admission(scene: &Scene<'_>) -> String {
    format!(
        "{}EVN|A01|20261122083000\r{}",
        header(scene, "EHR", "ADT^A01^ADT_A01"),
        person(scene)
    )
}

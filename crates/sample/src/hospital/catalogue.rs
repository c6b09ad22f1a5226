//! What people fall ill with here, what is measured and what is given for it.
//!
//! Codes are those of SNOMED CT (problems), RxNorm (medicines, by ingredient) and LOINC (measurements).

/// A problem and its usual medicines.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) text: &'static str,
    /// Sensitivity label, if it has one.
    pub(super) label: Option<&'static str>,
    pub(super) medicines: &'static [Medicine],
}

/// A medicine with a usual order.
#[derive(Debug, PartialEq)]
pub(super) struct Medicine {
    pub(super) code: &'static str,
    pub(super) text: &'static str,
    pub(super) dose: &'static str,
    pub(super) controlled: bool,
}

const fn medicine(code: &'static str, text: &'static str, dose: &'static str) -> Medicine {
    Medicine {
        code,
        text,
        dose,
        controlled: false,
    }
}

const fn controlled(code: &'static str, text: &'static str, dose: &'static str) -> Medicine {
    Medicine {
        code,
        text,
        dose,
        controlled: true,
    }
}

const fn problem(
    code: &'static str,
    text: &'static str,
    medicines: &'static [Medicine],
) -> Problem {
    Problem {
        code,
        text,
        label: None,
        medicines,
    }
}

const fn sensitive(
    code: &'static str,
    text: &'static str,
    label: &'static str,
    medicines: &'static [Medicine],
) -> Problem {
    Problem {
        code,
        text,
        label: Some(label),
        medicines,
    }
}

const MORPHINE: Medicine = controlled("7052", "Morphine", "5 mg by mouth every 4 hours if needed");
const OXYCODONE: Medicine =
    controlled("7804", "Oxycodone", "5 mg by mouth every 6 hours if needed");
const LORAZEPAM: Medicine = controlled("6470", "Lorazepam", "1 mg by mouth at night");
const PARACETAMOL: Medicine = medicine("161", "Paracetamol", "1 g by mouth four times a day");
const FUROSEMIDE: Medicine = medicine("4603", "Furosemide", "40 mg by mouth in the morning");
const APIXABAN: Medicine = medicine("1364430", "Apixaban", "5 mg by mouth twice a day");

/// Problems that anybody past forty may have beside what brought them here.
pub(super) const CHRONIC: &[Problem] = &[
    problem(
        "38341003",
        "Hypertension",
        &[
            medicine("29046", "Lisinopril", "10 mg by mouth once a day"),
            medicine("17767", "Amlodipine", "5 mg by mouth once a day"),
        ],
    ),
    problem(
        "44054006",
        "Type 2 diabetes mellitus",
        &[medicine(
            "6809",
            "Metformin",
            "500 mg by mouth twice a day with food",
        )],
    ),
    problem(
        "55822004",
        "Hyperlipidaemia",
        &[medicine(
            "83367",
            "Atorvastatin",
            "40 mg by mouth in the evening",
        )],
    ),
    problem("396275006", "Osteoarthritis", &[PARACETAMOL]),
    problem(
        "40930008",
        "Hypothyroidism",
        &[medicine(
            "10582",
            "Levothyroxine",
            "75 micrograms by mouth before breakfast",
        )],
    ),
    problem(
        "235595009",
        "Gastro-oesophageal reflux disease",
        &[medicine("7646", "Omeprazole", "20 mg by mouth once a day")],
    ),
    problem("709044004", "Chronic kidney disease", &[]),
    problem(
        "195967001",
        "Asthma",
        &[medicine("435", "Salbutamol", "2 puffs inhaled if needed")],
    ),
    problem("49436004", "Atrial fibrillation", &[APIXABAN]),
];

/// What brings people to the medical ward.
pub(super) const MEDICINE: &[Problem] = &[
    problem(
        "233604007",
        "Pneumonia",
        &[
            medicine("2193", "Ceftriaxone", "2 g intravenously once a day"),
            PARACETAMOL,
        ],
    ),
    problem(
        "13645005",
        "Exacerbation of chronic obstructive lung disease",
        &[medicine("8640", "Prednisone", "40 mg by mouth once a day")],
    ),
    problem(
        "128045006",
        "Cellulitis of the lower leg",
        &[medicine(
            "723",
            "Amoxicillin",
            "1 g by mouth three times a day",
        )],
    ),
    problem(
        "68566005",
        "Urinary tract infection",
        &[medicine(
            "2193",
            "Ceftriaxone",
            "1 g intravenously once a day",
        )],
    ),
    problem("87522002", "Iron deficiency anaemia", &[]),
];

/// What brings people to the surgical ward.
pub(super) const SURGERY: &[Problem] = &[
    problem("74400008", "Appendicitis", &[PARACETAMOL, OXYCODONE]),
    problem(
        "5913000",
        "Fracture of the neck of the femur",
        &[
            MORPHINE,
            medicine("67108", "Enoxaparin", "40 mg under the skin once a day"),
        ],
    ),
    problem("235919008", "Gallstone disease", &[PARACETAMOL, MORPHINE]),
    problem("396232000", "Inguinal hernia", &[PARACETAMOL]),
];

/// What brings people to the cardiology ward.
pub(super) const CARDIOLOGY: &[Problem] = &[
    problem("84114007", "Heart failure", &[FUROSEMIDE]),
    problem(
        "22298006",
        "Myocardial infarction",
        &[
            medicine("1191", "Aspirin", "75 mg by mouth once a day"),
            medicine("6918", "Metoprolol", "50 mg by mouth twice a day"),
        ],
    ),
    problem("49436004", "Atrial fibrillation", &[APIXABAN]),
];

/// What brings people to intensive care.
pub(super) const CRITICAL: &[Problem] = &[
    problem(
        "91302008",
        "Sepsis",
        &[
            medicine(
                "7512",
                "Norepinephrine",
                "infusion, to mean pressure 65 mmHg",
            ),
            controlled("4337", "Fentanyl", "infusion, 50 micrograms an hour"),
        ],
    ),
    problem(
        "65710008",
        "Acute respiratory failure",
        &[controlled(
            "4337",
            "Fentanyl",
            "infusion, 50 micrograms an hour",
        )],
    ),
];

/// What brings children to the paediatric ward.
pub(super) const PAEDIATRICS: &[Problem] = &[
    problem("4120002", "Bronchiolitis", &[]),
    problem(
        "195967001",
        "Asthma",
        &[medicine("435", "Salbutamol", "2 puffs inhaled if needed")],
    ),
    problem(
        "25374005",
        "Gastroenteritis",
        &[medicine("26225", "Ondansetron", "4 mg by mouth if needed")],
    ),
    problem("74400008", "Appendicitis", &[PARACETAMOL]),
];

/// What brings people to the psychiatric ward.
pub(super) const PSYCHIATRY: &[Problem] = &[
    sensitive(
        "370143000",
        "Major depressive disorder",
        "PSY",
        &[medicine("36437", "Sertraline", "50 mg by mouth once a day")],
    ),
    sensitive(
        "13746004",
        "Bipolar disorder",
        "PSY",
        &[medicine(
            "6448",
            "Lithium carbonate",
            "400 mg by mouth at night",
        )],
    ),
    sensitive(
        "197480006",
        "Anxiety disorder",
        "PSY",
        &[
            medicine("36437", "Sertraline", "50 mg by mouth once a day"),
            LORAZEPAM,
        ],
    ),
];

/// What the substance-use programme treats.
pub(super) const SUBSTANCE_USE: &[Problem] = &[
    sensitive(
        "75544000",
        "Opioid dependence",
        "ETH",
        &[controlled("6813", "Methadone", "60 mg by mouth once a day")],
    ),
    sensitive(
        "66590003",
        "Alcohol dependence",
        "ETH",
        &[medicine("7243", "Naltrexone", "50 mg by mouth once a day")],
    ),
];

/// Human immunodeficiency virus infection.
pub(super) const HIV: Problem = sensitive(
    "86406008",
    "Human immunodeficiency virus infection",
    "HIV",
    &[medicine(
        "1433868",
        "Dolutegravir",
        "50 mg by mouth once a day",
    )],
);

/// A young person's own confidential care.
pub(super) const SEXUAL_HEALTH: Problem = sensitive(
    "13197004",
    "Contraception",
    "SEX",
    &[medicine("6373", "Levonorgestrel", "one tablet a day")],
);

/// Injury by somebody close.
pub(super) const VIOLENCE: Problem =
    sensitive("371772001", "Domestic abuse", "SDV", &[PARACETAMOL]);

/// A quantity that is measured again and again.
pub(super) struct Measure {
    pub(super) code: &'static str,
    pub(super) text: &'static str,
    pub(super) unit: &'static str,
    /// UCUM code of the unit.
    pub(super) ucum: &'static str,
    pub(super) mean: f64,
    pub(super) spread: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) decimals: u8,
}

macro_rules! measures {
    ($($code:literal $text:literal, $unit:literal $ucum:literal, $mean:literal $spread:literal, $low:literal $high:literal, $decimals:literal;)*) => {
        &[$(Measure {
            code: $code, text: $text, unit: $unit, ucum: $ucum, mean: $mean, spread: $spread,
            low: $low, high: $high, decimals: $decimals,
        }),*]
    };
}

/// Vital signs beside blood pressure.
pub(super) const VITALS: &[Measure] = measures! {
    "8867-4" "Heart rate", "beats/minute" "/min", 82.0 14.0, 50.0 100.0, 0;
    "9279-1" "Respiratory rate", "breaths/minute" "/min", 17.0 4.0, 10.0 22.0, 0;
    "8310-5" "Body temperature", "°C" "Cel", 37.0 0.7, 36.0 38.0, 1;
    "59408-5" "Oxygen saturation", "%" "%", 96.0 2.5, 92.0 100.0, 0;
};

/// Laboratory measurements.
pub(super) const LABORATORY: &[Measure] = measures! {
    "718-7" "Haemoglobin", "g/dL" "g/dL", 13.2 1.8, 12.0 17.0, 1;
    "6690-2" "Leucocytes", "10³/µL" "10*3/uL", 8.4 3.2, 4.0 11.0, 1;
    "777-3" "Platelets", "10³/µL" "10*3/uL", 250.0 70.0, 150.0 400.0, 0;
    "2951-2" "Sodium", "mmol/L" "mmol/L", 139.0 3.5, 135.0 145.0, 0;
    "2823-3" "Potassium", "mmol/L" "mmol/L", 4.2 0.5, 3.5 5.1, 1;
    "2160-0" "Creatinine", "mg/dL" "mg/dL", 1.0 0.35, 0.6 1.3, 2;
    "2345-7" "Glucose", "mg/dL" "mg/dL", 115.0 32.0, 70.0 140.0, 0;
    "1988-5" "C-reactive protein", "mg/L" "mg/L", 18.0 20.0, 0.0 5.0, 0;
    "4548-4" "Haemoglobin A1c", "%" "%", 6.0 1.1, 4.0 6.5, 1;
    "3016-3" "Thyrotropin", "mIU/L" "m[IU]/L", 2.1 1.2, 0.4 4.5, 2;
};

/// What people are allergic to, by SNOMED CT substance.
pub(super) const ALLERGENS: &[(&str, &str)] = &[
    ("764146007", "Penicillin"),
    ("111088007", "Latex"),
    ("387406002", "Sulfonamide"),
    ("762952008", "Peanut"),
    ("387458008", "Aspirin"),
];

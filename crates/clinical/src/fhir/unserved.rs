//! Interactions of FHIR that are not served, and what to do instead.
//!
//! Each could be an inference channel or cannot be judged: it is refused whole rather than half understood.

/// Why a request is `unclassified`, for whoever writes a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Stable code, kebab-case.
    pub code: &'static str,
    /// What is not served, and what is instead. One sentence, nothing of the request in it.
    pub sentence: &'static str,
}

macro_rules! unserved {
    ($($name:ident $code:literal $sentence:literal;)*) => {
        $(pub(super) const $name: Unserved = Unserved { code: $code, sentence: $sentence };)*

        #[cfg(test)]
        pub(super) const ALL: &[Unserved] = &[$($name),*];
    };
}

unserved! {
    CHAINED "chained-search"
        "Chained search is not served, because it tells of resources that are not in the answer; search for those first.";
    REVERSE_CHAINED "reverse-chained-search"
        "Reverse chained search (`_has`) is not served, because it tells of resources that are not in the answer; search for those first.";
    PARTIAL "partial-answer"
        "Answers in part (`_elements`, `_summary`) are not served, because each resource is judged whole; ask without them.";
    FILTER "filter-expression"
        "Filters and full-text search are not served, because they tell of content that is not in the answer; use ordinary search parameters.";
    CONTAINED "contained-search"
        "Search in contained resources is not served; search for the resources that contain them.";
    INCLUDE "include-not-understood"
        "Includes are served if they name a type and a reference of FHIR R4, such as `Observation:subject`, and no wildcard.";
    PATIENT "patient-not-certain"
        "A patient is named by id, such as `patient=p-17` or `subject=Patient/p-17`, without a modifier.";
    PARAMETER "parameter-not-understood"
        "This request has a parameter that is not an ordinary one of FHIR R4; leave it out.";
    CONDITIONAL_WRITE "conditional-write"
        "Conditional update, patch and delete are not served, because what they would change shows only when it is done; search first, then write by id.";
    CONDITIONAL_IN_BUNDLE "conditional-entry"
        "Conditional entries of a bundle are not served; search first, then write by id.";
    CRITERIA "conditional-create-criteria"
        "The criteria of a conditional create may only hold ordinary search parameters, at least one of them.";
    PATCH_IN_BUNDLE "patch-in-bundle"
        "Patches in a bundle are not served; send each by itself.";
    SIDE_EFFECTS "header-with-side-effects"
        "This request has a header with which servers do more than the request says; leave it out.";
    ASYNCHRONOUS "asynchronous"
        "Asynchronous answers are not served, because they would lie where nobody judges them; leave `respond-async` out.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_code_of_its_own_and_one_sentence() {
        for (at, one) in ALL.iter().enumerate() {
            assert!(
                one.sentence.ends_with('.') && !one.sentence.contains(". "),
                "{}",
                one.sentence
            );
            assert!(
                ALL[..at].iter().all(|other| other.code != one.code),
                "{}",
                one.code
            );
        }
    }
}

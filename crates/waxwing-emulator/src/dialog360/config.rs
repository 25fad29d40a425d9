//! Settings of a number at 360dialog.

use std::fmt;

use serde::Deserialize;

/// How `x-360dialog-signature` is written. No document says which (360dialog.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureForm {
    /// Lower-case hexadecimal digits.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// One number at 360dialog. Its key is its address: no path names the number.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialog360Config {
    /// Value of `D360-API-KEY` that may use the number. Two numbers must not share it.
    pub api_key: String,
    /// Meta's id of the number, as in `metadata.phone_number_id`; the emulator names the number by it.
    pub phone_number_id: String,
    /// WhatsApp Business Account that owns the number.
    pub waba_id: String,
    /// Digits, as in `metadata.display_phone_number`.
    pub display_phone_number: String,
    /// Name shown to users.
    pub verified_name: String,
    /// Namespace of the account's templates.
    pub namespace: String,
    /// Where webhooks go, until `POST /v1/configs/webhook` says something else.
    pub webhook_url: Option<String>,
    /// Headers of every webhook, until `POST /v1/configs/webhook` says something else.
    pub webhook_headers: Vec<(String, String)>,
    /// Secret of `x-360dialog-signature`; without it webhooks carry no signature, as is documented for messages.
    pub signature_secret: Option<String>,
    /// How that signature is written.
    pub signature_form: SignatureForm,
    /// Send webhooks in the flat form of the old hosts, which has neither envelope nor metadata.
    pub legacy: bool,
    /// Answer accepted sends with 201 and without `contacts`, as was observed.
    pub short_answers: bool,
}

impl Default for Dialog360Config {
    fn default() -> Self {
        Self {
            api_key: "test-d360-key".into(),
            phone_number_id: "318922994632101".into(),
            waba_id: "104996122399160".into(),
            display_phone_number: "4930901820".into(),
            verified_name: "Waxwing Reisen".into(),
            namespace: "ba30dd89_2ebd_41e4_b805_f2c05ae04cc9".into(),
            webhook_url: None,
            webhook_headers: Vec::new(),
            signature_secret: None,
            signature_form: SignatureForm::Hex,
            legacy: false,
            short_answers: false,
        }
    }
}

impl fmt::Debug for Dialog360Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog360Config")
            .field("phone_number_id", &self.phone_number_id)
            .finish_non_exhaustive()
    }
}

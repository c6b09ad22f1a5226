// Passkeys in the browser: sign-in (with conditional mediation), step-up and registration.
//
// The page carries one element with id `passkey` whose data attributes say what to do:
//   data-ceremony  `get` or `create`
//   data-options   where to ask for the one-time challenge (POST)
//   data-finish    where to send the credential (POST)
//   data-fields    JSON object that both requests carry (token, ceremony handle, return address …)
//   data-conditional  present: offer passkeys in the field `passkey-field` as soon as the page is open
"use strict";

(() => {
  const root = document.getElementById("passkey");
  if (!root) return;
  const button = root.querySelector("button");
  const message = document.getElementById("passkey-message");
  const field = document.getElementById("passkey-field");
  const fields = JSON.parse(root.dataset.fields || "{}");
  const create = root.dataset.ceremony === "create";
  let pending = null;

  const say = (text) => { if (message) { message.textContent = text; message.hidden = !text; } };

  const bytes = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (c) => c.charCodeAt(0)).buffer;
  };

  const text = (buffer) => {
    if (!buffer) return undefined;
    let plain = "";
    for (const b of new Uint8Array(buffer)) plain += String.fromCharCode(b);
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };

  const descriptors = (list) => (list || []).map((d) => ({ ...d, id: bytes(d.id) }));

  const decode = (options) => {
    const key = { ...options, challenge: bytes(options.challenge) };
    if (create) {
      key.user = { ...options.user, id: bytes(options.user.id) };
      key.excludeCredentials = descriptors(options.excludeCredentials);
    } else {
      key.allowCredentials = descriptors(options.allowCredentials);
    }
    return key;
  };

  const encode = (credential) => {
    const r = credential.response;
    const response = create
      ? {
          attestationObject: text(r.attestationObject),
          clientDataJSON: text(r.clientDataJSON),
          transports: r.getTransports ? r.getTransports() : undefined,
        }
      : {
          authenticatorData: text(r.authenticatorData),
          clientDataJSON: text(r.clientDataJSON),
          signature: text(r.signature),
          userHandle: text(r.userHandle),
        };
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response,
      extensions: credential.getClientExtensionResults(),
    };
  };

  const send = async (address, body) => {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...fields, ...body }),
      credentials: "same-origin",
      redirect: "error",
    });
    const value = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(value.error || "The server could not answer. Please try again.");
    return value;
  };

  const told = (error) => {
    if (error.name === "AbortError") return "";
    if (error.name === "NotAllowedError") return "No passkey was used. You can try again.";
    if (error.name === "InvalidStateError") return "This device already holds a passkey for you.";
    if (error.name === "SecurityError") return "This address is not the one your passkey belongs to.";
    return error.message;
  };

  const run = async (mediation) => {
    if (pending) pending.abort();
    const mine = new AbortController();
    pending = mine;
    try {
      const named = document.getElementById("passkey-name");
      const started = await send(root.dataset.options, {});
      const request = { publicKey: decode(started.publicKey), signal: mine.signal };
      if (mediation) request.mediation = mediation;
      const credential = create
        ? await navigator.credentials.create(request)
        : await navigator.credentials.get(request);
      if (!mediation) say("Checking your passkey …");
      const done = await send(root.dataset.finish, {
        handle: started.handle,
        name: named ? named.value : undefined,
        credential: encode(credential),
      });
      location.assign(done.continue);
    } catch (error) {
      // An offer that nobody took up is no failure that anybody has to read about.
      const unused = mediation && error.name === "NotAllowedError";
      if (pending === mine && !unused) say(told(error));
    } finally {
      if (!mediation) button.disabled = false;
    }
  };

  if (!window.PublicKeyCredential || !navigator.credentials) {
    button.disabled = true;
    say("This browser cannot use passkeys.");
    return;
  }

  button.addEventListener("click", () => {
    button.disabled = true;
    say("");
    run(undefined);
  });

  if (root.hasAttribute("data-conditional") && PublicKeyCredential.isConditionalMediationAvailable) {
    PublicKeyCredential.isConditionalMediationAvailable().then((can) => {
      if (!can) return;
      if (field) field.hidden = false;
      run("conditional");
    });
  }
})();

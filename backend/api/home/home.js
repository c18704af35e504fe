// The landing page: status, links, one sentence to try, and snippets for other programs.

const { pagePort, repository } = document.body.dataset;
const base = location.origin;
const POLL_MS = 3000;

const SNIPPETS = {
  curl: `curl ${base}/v1/audio/speech -H "Content-Type: application/json" \\
  -d '{"model": "tts-1", "voice": "nova", "input": "Hello.", "response_format": "mp3"}' -o hello.mp3`,
  "Python (openai)": `from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key="none")
speech = client.audio.speech.create(model="tts-1", voice="nova", input="Hello.")
speech.write_to_file("hello.mp3")`,
  "JavaScript (openai)": `import OpenAI from "openai";
import { writeFile } from "node:fs/promises";

const client = new OpenAI({ baseURL: "${base}/v1", apiKey: "none" });
const speech = await client.audio.speech.create({ model: "tts-1", voice: "nova", input: "Hello." });
await writeFile("hello.mp3", Buffer.from(await speech.arrayBuffer()));`,
  "Home Assistant": `# In .env, then restart:
WYOMING_PORT=10200
# Home Assistant: Settings > Devices & services > Add integration > Wyoming Protocol
# Host: ${location.hostname}   Port: 10200`,
  "Open WebUI": `# Admin settings > Audio > Text-to-speech engine: OpenAI
API base URL: ${base}/v1
API key:      none
TTS model:    tts-1
TTS voice:    nova`,
};

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

async function copy(text, pressed) {
  try {
    await navigator.clipboard.writeText(text);
    pressed.textContent = "Copied";
  } catch {
    // Without HTTPS browsers offer the clipboard on this computer only.
    const range = document.createRange();
    range.selectNodeContents(pressed.parentElement.nextElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    pressed.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (pressed.textContent = "Copy"), 2500);
}

for (const [name, text] of Object.entries(SNIPPETS)) {
  const button = element("button", { type: "button", textContent: "Copy", onclick: () => copy(text, button) });
  button.setAttribute("aria-label", `Copy: ${name}`);
  const code = element("pre", { textContent: text, tabIndex: 0 });
  document.querySelector("#snippets").append(element("div", { className: "card" }, element("div", { className: "head" }, element("h3", { textContent: name }), button), code));
}

const links = [["Web page", `${location.protocol}//${location.hostname}:${pagePort}/`], ["API reference", "/docs"], ["OpenAPI document", "/openapi.json"], ["Health", "/health"], ["Metrics", "/metrics"]];
if (repository) links.push(["Project", repository]);
document.querySelector("#links").append(...links.map(([name, href]) => element("a", { href, textContent: name })));

const status = document.querySelector("#status");
async function poll() {
  try {
    const response = await fetch("/ready");
    const ready = await response.json();
    status.className = ready.ready ? "good" : ready.loading ? "" : "bad";
    status.textContent = ready.ready ? `Ready${ready.engine ? ` · ${ready.engine.model}` : ""}` : ready.loading ? "The model is loading" : ready.message;
  } catch {
    status.className = "bad";
    status.textContent = "The server does not respond. Start it again, then reload this page.";
  }
  setTimeout(poll, POLL_MS);
}
poll();

const [speak, audio, problem] = ["#speak", "#audio", "#problem"].map((one) => document.querySelector(one));
speak.onclick = async () => {
  speak.disabled = true;
  problem.textContent = "";
  try {
    const body = JSON.stringify({ text: document.querySelector("#text").value, format: "wav" });
    const response = await fetch("/tts", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!response.ok) throw new Error((await response.json()).message);
    audio.src = URL.createObjectURL(await response.blob());
    audio.hidden = false;
    await audio.play();
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    speak.disabled = false;
  }
};

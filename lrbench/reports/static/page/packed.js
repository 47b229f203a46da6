// ---- packed data: JSON, compressed by gzip, in base64; unpacked when first needed ------------------------------------
const packs = new Map();
function load(kind) {
  if (!packs.has(kind)) packs.set(kind, unpack(byId(`packed-${kind}`)));
  return packs.get(kind);
}

async function unpack(source) {
  if (!source) return;
  const text = source.textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const found = await new Response(stream).json();
  for (const [key, value] of Object.entries(found)) if (!data.has(key)) data.set(key, value); // an update's are newer
  source.remove();
}

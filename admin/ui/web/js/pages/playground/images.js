// Images for a question: pasted, dropped or chosen, in memory only.

export const MOST_BYTES = 20 * 1024 * 1024;
const types = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/heic', 'image/heif']);

const base64 = (bytes) => {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
};

// readImages answers {images: [{type, data, name, size}], refused: [{name, why}]}.
// why is 'type' or 'size'; have is how many bytes are attached already.
export async function readImages(files, have = 0) {
  const images = [], refused = [];
  let sum = have;
  for (const file of files) {
    if (!types.has(file.type)) refused.push({ name: file.name, why: 'type' });
    else if (sum + file.size > MOST_BYTES) refused.push({ name: file.name, why: 'size' });
    else {
      sum += file.size;
      images.push({ type: file.type, data: base64(new Uint8Array(await file.arrayBuffer())), name: file.name, size: file.size });
    }
  }
  return { images, refused };
}

export const filesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));

// Verifies tokens by a key set: node verify.mjs KEY_SET_URL < lines of "TOKEN ISSUER AUDIENCE". Prints the subject, or the code of the error, for each.
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

const keys = createRemoteJWKSet(new URL(process.argv[2]));
for await (const line of createInterface({ input: process.stdin })) {
  const [token, issuer, audience] = line.split(" ");
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience });
    console.log(`${payload.sub} ${protectedHeader.kid}`);
  } catch (error) {
    console.log(error.code);
  }
}

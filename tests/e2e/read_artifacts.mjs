// Lists and downloads the artifacts of this workflow run with GitHub's own client, held against expected digests.
// Usage: node read_artifacts.mjs FOLDER DIGESTS, a JSON file of name -> "sha256:<hex>"
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DefaultArtifactClient } from '@actions/artifact'

const [folder, digests] = process.argv.slice(2)
const expected = JSON.parse(readFileSync(digests))
const client = new DefaultArtifactClient()
const found = []
for (const artifact of (await client.listArtifacts()).artifacts) {
  const path = join(folder, String(artifact.id))
  mkdirSync(path)
  const { digestMismatch } = await client.downloadArtifact(artifact.id, {
    path,
    expectedHash: expected[artifact.name],
  })
  found.push({ id: artifact.id, name: artifact.name, size: artifact.size, digestMismatch })
}
console.log('ARTIFACTS=' + JSON.stringify(found))

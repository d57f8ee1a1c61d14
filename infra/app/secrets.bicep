metadata description = 'What the vault holds. A secret that is not given here stays as somebody put it.'

param vaultName string

@secure()
param nylasApiKey string

@secure()
param nylasWebhookSecret string

@secure()
@description('244 random bits. Used once: what was hashed with another key could never be found again.')
param newErasureKey string = replace('${newGuid()}${newGuid()}', '-', '')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource apiKey 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(nylasApiKey)) {
  parent: vault
  name: 'nylas-api-key'
  properties: { value: nylasApiKey }
}

resource webhookSecret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(nylasWebhookSecret)) {
  parent: vault
  name: 'nylas-webhook-secret'
  properties: { value: nylasWebhookSecret }
}

@onlyIfNotExists()
resource erasureKey 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: 'erasure-key'
  properties: { value: newErasureKey }
}

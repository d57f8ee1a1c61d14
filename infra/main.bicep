metadata name = 'Nylas to Dataverse'
metadata description = 'One function app on Flex Consumption with its identity, storage account and vault, and what watches them.'

targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('The azd environment. It names the resource group, and its hash is part of every other name.')
param environmentName string

@minLength(1)
@description('The region of everything; Flex Consumption must be offered there.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Object id of whoever deploys, who may then put secrets into the vault and run the commands; empty for nobody.')
param principalId string = ''

@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
@description('What kind of principal that is.')
param principalType string = 'User'

// The settings of docs/settings.md, in its order and with its defaults.

@minLength(1)
@description('The Dataverse environment, such as https://contoso.crm.dynamics.com.')
param dataverseUrl string

@secure()
@description('Put into the vault as nylas-api-key; empty leaves what the vault holds.')
param nylasApiKey string = ''

@secure()
@description('Put into the vault as nylas-webhook-secret; empty leaves what the vault holds.')
param nylasWebhookSecret string = ''

@description('The region of the Nylas application.')
param nylasApiUri string = 'https://api.us.nylas.com'

@description('NCRONTAB of the sweep for missed messages, in UTC.')
param sweepSchedule string = '0 */5 * * * *'

@description('NCRONTAB of the nightly proof, in UTC.')
param verifySchedule string = '0 15 3 * * *'

@minValue(60)
@maxValue(86400)
@description('Seconds by which the windows of successive sweeps overlap.')
param sweepOverlap int = 900

@minValue(1)
@maxValue(200)
@description('Messages a page of a listing.')
param sweepPageSize int = 40

@minValue(0)
@maxValue(3600)
@description('Seconds over which the mailboxes of one sweep are spread.')
param sweepSpread int = 240

@description('No older mail is swept, such as 2026-01-31; empty for none before the first start.')
param syncSince string = ''

@description('The policy file, relative to the app.')
param trackingPolicy string = 'tracking.toml'

@description('Days after which records of handled messages lose their ids, 30 at least; empty for never.')
param journalRetentionDays string = ''

@description('Whether to ask before each write if another tracker has put the mail there.')
param adoptExisting bool = true

@description('A custom text column of email that also gets the Nylas message id; empty for none.')
param dataverseNylasIdColumn string = ''

@minValue(1)
@maxValue(52)
@description('Requests to Dataverse at once, of all instances together.')
param dataverseConcurrency int = 24

// How the app runs.

@minValue(1)
@maxValue(1000)
@description('On-demand instances of each function at most; the limits towards Dataverse and each mailbox are divided by it.')
param maximumInstanceCount int = 2

@allowed([
  512
  2048
  4096
])
@description('Memory of an instance.')
param instanceMemoryMB int = 2048

@minValue(1)
@maxValue(64)
@description('Webhooks one instance takes at once before another is started.')
param httpConcurrency int = 32

@minValue(0)
@maxValue(20)
@description('Instances kept ready for webhooks, billed while idle; 0 starts from cold.')
param alwaysReadyInstances int = 0

@description('Metrics and traces beside the log lines; costs a cold start about a second.')
param telemetryEnabled bool = true

@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
@description('How often the storage account keeps what it holds: queues, journal, watermarks.')
param storageSku string = 'Standard_LRS'

@description('Storage and vault by private endpoints alone, the app in a virtual network of its own.')
param vnetEnabled bool = false

// Who is told, and when.

@description('Whom the alerts are mailed to; empty makes an action group without receivers.')
param alertEmail string = ''

@minValue(300)
@description('Seconds since a mailbox was last swept to the end that are too many. EWS mailboxes are swept hourly.')
param freshnessBound int = 7200

@allowed([
  'PT15M'
  'PT30M'
  'PT1H'
  'PT2H'
  'PT6H'
])
@description('How long no sweep may start before somebody is told; longer than SWEEP_SCHEDULE takes from one to the next.')
param sweepSilentAfter string = 'PT30M'

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var deploymentContainer = 'app-package'
var storageServices = [
  'blob'
  'queue'
  'table'
]

resource group 'Microsoft.Resources/resourceGroups@2021-04-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: tags
}

// One identity for everything the app does: storage, vault, telemetry, Dataverse.
module identity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity'
  scope: group
  params: {
    name: '${abbreviations.managedIdentityUserAssignedIdentities}${token}'
    location: location
    tags: tags
  }
}

module network 'app/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: {
    name: '${abbreviations.networkVirtualNetworks}${token}'
    location: location
    tags: tags
    storageServices: storageServices
  }
}

// The Functions host's storage is ours too; nobody can use a key of it.
module storage 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'storage'
  scope: group
  params: {
    name: '${abbreviations.storageStorageAccounts}${token}'
    location: location
    tags: tags
    skuName: storageSku
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    blobServices: { containers: [ { name: deploymentContainer } ] }
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: vnetEnabled ? 'Deny' : 'Allow'
      bypass: vnetEnabled ? 'None' : 'AzureServices'
    }
    privateEndpoints: vnetEnabled ? network!.outputs.storageEndpoints : []
  }
}

module vault 'br/public:avm/res/key-vault/vault:0.14.0' = {
  name: 'vault'
  scope: group
  params: {
    name: '${abbreviations.keyVaultVaults}${token}'
    location: location
    tags: tags
    sku: 'standard'
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableVaultForDeployment: false
    enableVaultForDiskEncryption: false
    enableVaultForTemplateDeployment: false
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: vnetEnabled ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
    privateEndpoints: vnetEnabled ? network!.outputs.vaultEndpoints : []
    diagnosticSettings: [ { workspaceResourceId: logs.outputs.resourceId } ]
  }
}

module secrets 'app/secrets.bicep' = {
  name: 'secrets'
  scope: group
  params: {
    vaultName: vault.outputs.name
    nylasApiKey: nylasApiKey
    nylasWebhookSecret: nylasWebhookSecret
  }
}

module logs 'br/public:avm/res/operational-insights/workspace:0.16.1' = {
  name: 'logs'
  scope: group
  params: {
    name: '${abbreviations.operationalInsightsWorkspaces}${token}'
    location: location
    tags: tags
    dataRetention: 30
    // alert rules query what is stored here, and none of it is encrypted with a key of the customer's
    forceCmkForQuery: false
    features: { enableLogAccessUsingOnlyResourcePermissions: true }
  }
}

module insights 'br/public:avm/res/insights/component:0.8.0' = {
  name: 'insights'
  scope: group
  params: {
    name: '${abbreviations.insightsComponents}${token}'
    location: location
    tags: tags
    workspaceResourceId: logs.outputs.resourceId
    disableLocalAuth: true
    disableIpMasking: false
    retentionInDays: 30
  }
}

module roles 'app/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    storageName: storage.outputs.name
    vaultName: vault.outputs.name
    insightsName: insights.outputs.name
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
    deployerPrincipalType: principalType
  }
}

module plan 'br/public:avm/res/web/serverfarm:0.7.0' = {
  name: 'plan'
  scope: group
  params: {
    name: '${abbreviations.webServerFarms}${token}'
    location: location
    tags: tags
    kind: 'functionapp'
    skuName: 'FC1'
    reserved: true
  }
}

module app 'app/function.bicep' = {
  name: 'app'
  scope: group
  // references to the vault are resolved while settings are set: the role must be there before them
  dependsOn: [
    roles
    secrets
  ]
  params: {
    name: '${abbreviations.webSitesFunctions}${token}'
    location: location
    tags: tags
    planId: plan.outputs.resourceId
    identityId: identity.outputs.resourceId
    identityClientId: identity.outputs.clientId
    storageEndpoints: storage.outputs.serviceEndpoints
    deploymentContainer: deploymentContainer
    vaultUri: vault.outputs.uri
    insightsConnectionString: insights.outputs.connectionString
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    httpConcurrency: httpConcurrency
    alwaysReadyInstances: alwaysReadyInstances
    settings: {
      DATAVERSE_URL: dataverseUrl
      NYLAS_API_URI: nylasApiUri
      SWEEP_SCHEDULE: sweepSchedule
      VERIFY_SCHEDULE: verifySchedule
      SWEEP_OVERLAP: string(sweepOverlap)
      SWEEP_PAGE_SIZE: string(sweepPageSize)
      SWEEP_SPREAD: string(sweepSpread)
      SYNC_SINCE: syncSince
      JOURNAL_RETENTION_DAYS: journalRetentionDays
      TRACKING_POLICY: trackingPolicy
      ADOPT_EXISTING: toLower(string(adoptExisting))
      DATAVERSE_NYLAS_ID_COLUMN: dataverseNylasIdColumn
      DATAVERSE_CONCURRENCY: string(dataverseConcurrency)
      INSTANCE_COUNT: string(maximumInstanceCount)
      PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: toLower(string(telemetryEnabled))
      FRESHNESS_BOUND: string(freshnessBound)
    }
  }
}

module alerts 'monitor/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    actionGroupName: '${abbreviations.insightsActionGroups}${token}'
    email: alertEmail
    insightsId: insights.outputs.resourceId
    storageId: storage.outputs.resourceId
    vaultId: vault.outputs.resourceId
    freshnessBound: freshnessBound
    sweepSilentAfter: sweepSilentAfter
  }
}

module workbook 'monitor/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    insightsId: insights.outputs.resourceId
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
@description('What `func azure functionapp publish` is given.')
output AZURE_FUNCTION_NAME string = app.outputs.name
@description('What Nylas is given as webhook_url.')
output WEBHOOK_URL string = app.outputs.webhookUrl
@description('The application id of the application user that Dataverse needs.')
output DATAVERSE_APPLICATION_ID string = identity.outputs.clientId
@description('Where nylas-api-key and nylas-webhook-secret are put.')
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
@description('What the commands are given as AzureWebJobsStorage__accountName.')
output AZURE_STORAGE_ACCOUNT_NAME string = storage.outputs.name

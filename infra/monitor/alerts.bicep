metadata description = 'What somebody is told of. Each rule is a query of a file beside this one; docs/operate.md says what to do.'

param location string
param tags object
param actionGroupName string

@description('Empty for a group without receivers.')
param email string
param insightsId string
param storageId string
param vaultId string

@description('Seconds.')
param freshnessBound int

@description('As ISO 8601.')
param sweepSilentAfter string

// severity: 1 mail does not get through, 2 some mail waits for a person, 3 worth knowing
var rules = [
  {
    name: 'webhook-failing'
    description: 'Notifications of Nylas do not get through. Is the webhook active, and its secret in the vault? The sweep finds the mail meanwhile.'
    query: loadTextContent('webhook_failing.kql')
    severity: 1
    every: 'PT5M'
    window: 'PT30M'
    measure: 'failing'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'ingest-unavailable'
    description: 'Webhooks are answered 503. The reason names the settings to mend, or the storage account is out of reach.'
    query: loadTextContent('ingest_unavailable.kql')
    severity: 1
    every: 'PT5M'
    window: 'PT5M'
    measure: 'answers'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: [ 'reason' ]
  }
  {
    name: 'sweep-silent'
    description: 'No sweep was started. Does the app run, and does its identity reach storage?'
    query: loadTextContent('sweep_silent.kql')
    severity: 1
    every: 'PT5M'
    window: sweepSilentAfter
    measure: 'started'
    operator: 'LessThan'
    threshold: 1
    dimensions: []
  }
  {
    name: 'unexplained'
    description: 'A mailbox shows messages that nothing accounts for. `python -m mailsync verify --repair` names them and puts them on the queue.'
    query: loadTextContent('unexplained.kql')
    severity: 1
    every: 'PT15M'
    window: 'PT1H'
    measure: 'messages'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'needs-administrator'
    description: 'A setting, a key, a role or the policy is to be mended; mail waits meanwhile.'
    query: loadTextContent('needs_administrator.kql')
    severity: 2
    every: 'PT5M'
    window: 'PT15M'
    measure: 'items'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: [ 'reason' ]
  }
  {
    name: 'put-aside'
    description: 'Messages could not be written. `python -m mailsync aside list` says why, `aside replay` tries again.'
    query: loadTextContent('put_aside.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
    measure: 'items'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: [ 'reason' ]
  }
  {
    name: 'poison'
    description: 'An item crashed a function five times, or a poison queue stays filled. Read the logs of that time.'
    query: loadTextContent('poison.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
    measure: 'items'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'freshness'
    description: 'A mailbox was not swept to the end for too long. `python -m mailsync verify --mailbox` says what is missing.'
    query: loadTextContent('freshness.kql')
    severity: 2
    every: 'PT15M'
    window: 'P1D'
    measure: 'seconds'
    operator: 'GreaterThan'
    threshold: freshnessBound
    dimensions: [ 'grant' ]
  }
  {
    name: 'grant-expired'
    description: 'The owner of a mailbox must sign in again; its mail is found once that is done.'
    query: loadTextContent('grant_expired.kql')
    severity: 3
    every: 'PT30M'
    window: 'P2D'
    measure: 'expired'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: [ 'grant' ]
  }
  {
    name: 'dataverse-throttled'
    description: 'Dataverse holds the app back in many minutes. Lower DATAVERSE_CONCURRENCY or the number of instances.'
    query: loadTextContent('dataverse_throttled.kql')
    severity: 3
    every: 'PT15M'
    window: 'PT30M'
    measure: 'minutes'
    operator: 'GreaterThan'
    threshold: 10
    dimensions: []
  }
]

module actionGroup 'br/public:avm/res/insights/action-group:0.8.0' = {
  name: 'action-group'
  params: {
    name: actionGroupName
    groupShortName: 'mailsync'
    tags: tags
    emailReceivers: empty(email) ? [] : [
      {
        name: 'operators'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

module queryRules 'br/public:avm/res/insights/scheduled-query-rule:0.6.0' = [for rule in rules: {
  name: 'alert-${rule.name}'
  params: {
    name: 'mailsync-${rule.name}'
    alertDisplayName: 'mailsync: ${rule.name}'
    alertDescription: rule.description
    location: location
    tags: tags
    scopes: [ insightsId ]
    severity: rule.severity
    evaluationFrequency: rule.every
    windowSize: rule.window
    // a new workspace has no customMetrics yet
    skipQueryValidation: true
    criterias: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Total'
          metricMeasureColumn: rule.measure
          operator: rule.operator
          threshold: rule.threshold
          dimensions: map(rule.dimensions, dimension => {
            name: dimension
            operator: 'Include'
            values: [ '*' ]
          })
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: { actionGroupResourceIds: [ actionGroup.outputs.resourceId ] }
  }
}]

module failedRequests 'br/public:avm/res/insights/metric-alert:0.4.1' = {
  name: 'alert-failed-requests'
  params: {
    name: 'mailsync-failed-requests'
    alertDescription: 'Functions fail, though a handler answers for its own trouble. Read the exceptions of that time.'
    tags: tags
    scopes: [ insightsId ]
    severity: 2
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allof: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'failed'
          metricNamespace: 'microsoft.insights/components'
          metricName: 'requests/failed'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 10
        }
      ]
    }
    actions: [ actionGroup.outputs.resourceId ]
  }
}

module storageAvailability 'br/public:avm/res/insights/metric-alert:0.4.1' = {
  name: 'alert-storage-availability'
  params: {
    name: 'mailsync-storage-availability'
    alertDescription: 'The storage account does not answer as it should: webhooks are answered 503 and everything waits.'
    tags: tags
    scopes: [ storageId ]
    severity: 2
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allof: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'availability'
          metricNamespace: 'Microsoft.Storage/storageAccounts'
          metricName: 'Availability'
          timeAggregation: 'Average'
          operator: 'LessThan'
          threshold: 99
        }
      ]
    }
    actions: [ actionGroup.outputs.resourceId ]
  }
}

module vaultAvailability 'br/public:avm/res/insights/metric-alert:0.4.1' = {
  name: 'alert-vault-availability'
  params: {
    name: 'mailsync-vault-availability'
    alertDescription: 'The vault does not answer as it should: an instance that starts now may find no secrets.'
    tags: tags
    scopes: [ vaultId ]
    severity: 3
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allof: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'availability'
          metricNamespace: 'Microsoft.KeyVault/vaults'
          metricName: 'Availability'
          timeAggregation: 'Average'
          operator: 'LessThan'
          threshold: 90
        }
      ]
    }
    actions: [ actionGroup.outputs.resourceId ]
  }
}

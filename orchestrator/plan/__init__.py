"""From a job to a plan: templates, parameters, graph. Nothing here touches the world."""
